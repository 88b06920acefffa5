"""Which blend of candidates forecasts which series: chosen on past origins, with a rule that would rather not choose.

All series get the default, or the blend that is better than it by a margin, and at every single past origin: a gain that comes
and goes is luck. A segment gets another one only where that is better still, by a larger margin, on enough rows and series.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.panels.candidates.naive import MOVING_AVERAGE
from training.rows import Flags, Floats, Ints

# share of the loss by which a blend must be better: a best of many is better than it will be, and trees that look back have
# learnt from less than those that forecast
MARGIN = 0.03
SEGMENT_MARGIN = 0.04  # of a segment: six of them are six chances to be lucky
PULL = 0.25  # of the way from the mean to the median
PULL_MARGIN = 0.01  # by which the pull must pay
BIAS_PRICE = 0.1  # what a bias of all demand costs, in multiples of the loss: orders carry it every day, an error evens out
MIN_ROWS, MIN_SERIES = 1000, 50
MIN_ORIGINS = 2
VOLUMES = ("low", "middle", "high")
VOLUME_CLASSES = len(VOLUMES)
INTERMITTENT = 0.5  # share of periods with a sale below which a series is intermittent
Blend = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Past origins: truth and means are [origin, series, lead], NaN where not known; `squared_scale` is [series], in units².

    `segment` is [origin, series]: that of each origin's own time.
    """

    truth: Floats
    means: Mapping[str, Floats]
    squared_scale: Floats
    segment: Ints


@dataclass(frozen=True, slots=True)
class Choice:
    """Blend per segment; `losses` are those of all blends over all rows, in multiples of the default's."""

    of_segment: tuple[Blend, ...]
    pooled: Blend
    losses: dict[str, float]

    def apply(self, means: Mapping[str, Floats], segment: Ints) -> Floats:
        """[series, lead] from each candidate's [series, lead]."""
        out = mixed(self.pooled, means)
        for number, blend in enumerate(self.of_segment):
            if blend != self.pooled:
                members = segment == number
                out[members] = mixed(blend, means)[members]
        return out


def blends(names: Sequence[str], default: str) -> list[Blend]:
    """The default alone, each other one alone, and the default with a part of each other; the default comes first."""
    others = [name for name in names if name != default]
    alone: list[Blend] = [((name, 1.0),) for name in [default, *others]]
    return alone + [((default, 1 - part), (name, part)) for name in others for part in (0.25, 0.5)]


def cautious(default: str, names: Collection[str]) -> Blend:
    """Where there is no past to choose on: what has learnt from little is steadied by a rule that needs little."""
    return ((default, 0.5), (MOVING_AVERAGE, 0.5)) if MOVING_AVERAGE in {*names} - {default} else ((default, 1.0),)


def label(blend: Blend) -> str:
    """Such as `0.75 xgboost + 0.25 sba`."""
    return " + ".join(f"{part:g} {name}" if part != 1 else name for name, part in blend)


def mixed(blend: Blend, means: Mapping[str, Floats]) -> Floats:
    """The weighted mean of the candidates, [..., series, lead]."""
    out: Floats = np.sum([part * means[name] for name, part in blend], axis=0)
    return out


def choose(seen: Seen, default: str) -> Choice:
    """The rule of the module; ties go to the default. A single past origin only tells whether caution pays, everywhere."""
    offered, margin = blends(sorted(seen.means), default), MARGIN
    if len(seen.truth) < MIN_ORIGINS:
        offered, margin = [((default, 1.0),), cautious(default, seen.means)], 0.0
    known = ~np.isnan(seen.truth)
    everyone = np.ones(seen.segment.shape, dtype=np.bool_)
    losses = [_errors(seen.truth, mixed(blend, seen.means), known, seen.squared_scale) for blend in offered]
    relative = [_relative(loss, losses[0], everyone) for loss in losses]
    pooled = _best(relative, margin) or 0
    segments = range(int(seen.segment.max(initial=-1)) + 1)
    chosen = tuple(offered[_of_segment(losses, pooled, seen.segment == number, known)] for number in segments)
    return Choice(chosen, offered[pooled], {label(b): float(r.mean()) for b, r in zip(offered, relative, strict=True)})


def pulled(truth: Floats, mean: Floats, median: Floats, squared_scale: Floats) -> float:
    """The share of the way to the median that point forecasts go: PULL where the past says that it pays, else 0.

    All are [origin, series, lead]. Where demand is rare and bursts, the mean has the larger absolute errors, the median a bias;
    a part of the way costs hardly any squared error. What it saves must be worth the bias that it brings.
    """
    known = ~np.isnan(truth)
    everyone = np.ones(truth.shape[:2], dtype=np.bool_)
    moved = (1 - PULL) * mean + PULL * median
    base, other = (_errors(truth, point, known, squared_scale) for point in (mean, moved))
    gain = 1 - float(_relative(other, base, everyone).mean())
    cost = BIAS_PRICE * (_bias(truth, moved, known) - _bias(truth, mean, known))
    return PULL if gain - cost > PULL_MARGIN else 0.0


def volume_edges(scale: Floats) -> Floats:
    """Between the classes of volume, in units: each class has a third of the series."""
    return np.quantile(scale, np.arange(1, VOLUME_CLASSES) / VOLUME_CLASSES) if len(scale) else np.empty(0)


def segments_of(scale: Floats, selling_share: Floats, edges: Floats) -> Ints:
    """[series]: class of volume × whether demand is intermittent."""
    volume = np.searchsorted(edges, scale, side="right")
    return (volume * 2 + (np.nan_to_num(selling_share) < INTERMITTENT)).astype(np.int64)


def segment_names() -> list[str]:
    """By number: such as `low_intermittent`."""
    return [f"{volume}_{demand}" for volume in VOLUMES for demand in ("steady", "intermittent")]


def _errors(truth: Floats, mean: Floats, known: Flags, squared_scale: Floats) -> tuple[Floats, Floats]:
    """[origin, series]: summed absolute errors, and root mean squared errors over the scale (0 where there is none)."""
    error = np.where(known, truth - mean, 0.0)
    count = np.maximum(known.sum(axis=2), 1)
    usable = np.broadcast_to(np.nan_to_num(squared_scale) > 0, count.shape)
    scaled = np.divide((error**2).sum(axis=2) / count, squared_scale[None, :], out=np.zeros(count.shape), where=usable)
    return np.abs(error).sum(axis=2), np.sqrt(scaled)


def _bias(truth: Floats, mean: Floats, known: Flags) -> float:
    """Absolute bias over all rows, as a share of demand; 0 where there is none."""
    demand = float(np.abs(np.where(known, truth, 0.0)).sum())
    return abs(float(np.where(known, mean - truth, 0.0).sum())) / demand if demand else 0.0


def _relative(loss: tuple[Floats, Floats], base: tuple[Floats, Floats], members: Flags) -> Floats:
    """[origin]: mean of both errors of the members [origin, series], in multiples of the base's."""
    parts = [_over((own * members).sum(axis=1), (other * members).sum(axis=1)) for own, other in zip(loss, base, strict=True)]
    return (parts[0] + parts[1]) / 2


def _over(own: Floats, other: Floats) -> Floats:
    out: Floats = np.divide(own, other, out=np.where(own > 0, np.inf, 1.0), where=other > 0)
    return out


def _best(relative: Sequence[Floats], margin: float) -> int | None:
    """The one with the smallest loss among those that are better at every origin; None where none is by the margin."""
    means = [float(values.mean()) if (values < 1).all() else np.inf for values in relative]
    best = int(np.argmin(means))
    return best if means[best] < 1 - margin else None


def _of_segment(losses: Sequence[tuple[Floats, Floats]], pooled: int, members: Flags, known: Flags) -> int:
    few = members.any(axis=0).sum() < MIN_SERIES or (known & members[:, :, None]).sum() < MIN_ROWS
    if few or len(members) < MIN_ORIGINS:
        return pooled
    best = _best([_relative(loss, losses[pooled], members) for loss in losses], SEGMENT_MARGIN)
    return pooled if best is None else best
