"""From means to quantiles: how far demand usually falls from a mean of that size, learnt on origins the mean had not seen.

The error of a row is put over `unit_of_error`, so that rows of one size can be pooled whatever their unit; rows are pooled by the
size of their mean, which tells whole numbers and zeros apart from large flows. A segment's quantiles are empirical, with the
finite-sample rank of conformal prediction (Romano, Patterson & Candès 2019), so their coverage holds where tomorrow is like then.

Rows of one origin err together, and past origins are few: pooled around what they share, errors are narrower than those of an
origin to come. Quantiles are stretched by as much as the prediction variance of a model with random effects is larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.quantiles import conformal_quantiles
from training.rows import LEVELS, Floats, Ints

MAX_SEGMENTS = 30
SEGMENT_ROWS = 300  # fewer cannot say where the highest level lies
FEWEST_ROWS = 100  # on each side of a gap
APART = 2.0  # times the next lower mean: beyond it is a gap, such as that between dead series and live ones
NOTHING = 0.01  # of the mean of means: sizes that differ by less are alike
FLOOR = 0.1  # of the scale: a mean of 0 has errors too
MAX_FACTOR = 3.0  # by which two forecasts of the same may differ and still be drawn together
# of probability that each level stands for: the mean of quantiles by these is the mean of what they describe
_SHARES = np.diff([0.0, *(np.array(LEVELS[1:]) + np.array(LEVELS[:-1])) / 2, 1.0])


@dataclass(frozen=True, slots=True)
class Seen:
    """Flat rows of forecasts whose truth is known: truth, mean and the series' scale, all in units, and whose origin each is."""

    truth: Floats
    mean: Floats
    scale: Floats
    origin: Ints


@dataclass(frozen=True, slots=True)
class Offsets:
    """Per segment of the mean's size: what to add to a quantile, in `unit_of_error`, and how far to stretch what comes of it from
    the mean. `edges` are in units."""

    edges: Floats
    of_segment: Floats  # [segment, level]
    stretch: Floats  # [segment], at least 1

    def add(self, mean: Floats, scale: Floats, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantiles [..., level] as their segment's errors say, at least 0 and in order; `mean` and `scale` are [...]."""
        segment = self.segment(mean)
        moved = self.of_segment[segment]  # one array, changed in place: it is the largest of a forecast
        moved *= unit_of_error(mean, scale)[..., None]
        moved += quantiles
        further = self.stretch[segment] - 1
        for at in range(len(LEVELS)):
            of_level = moved[..., at]
            of_level += further * (of_level - mean)
        np.maximum(moved, 0.0, out=moved)
        moved.sort(axis=-1)
        return moved

    def segment(self, mean: Floats) -> Ints:
        """The segment of each mean."""
        return np.searchsorted(self.edges, mean, side="right").astype(np.int64)


def unit_of_error(mean: Floats, scale: Floats) -> Floats:
    """The mean, and a little of the series' scale, in units."""
    return np.maximum(mean, 0.0) + FLOOR * scale


def learn(seen: Seen, quantiles: NDArray[np.float64], segments: int = MAX_SEGMENTS) -> Offsets:
    """Offsets under which each level covers its share of the seen rows, were they of as many origins as of rows; `quantiles` is
    [row, level]. None seen: no offsets.
    """
    count = len(seen.truth)
    if not count:
        return Offsets(np.empty(0), np.zeros((1, len(LEVELS))), np.ones(1))
    edges = _edges(seen.mean, max(1, min(segments, count // SEGMENT_ROWS)))
    unit = unit_of_error(seen.mean, seen.scale)
    errors = seen.truth[:, None] - quantiles
    errors /= unit[:, None]
    of_mean = (seen.truth - seen.mean) / unit
    place = np.searchsorted(edges, seen.mean, side="right")
    chosen, stretch = [], []
    for segment in range(len(edges) + 1):
        here = place == segment
        members = here if here.any() else np.ones_like(here)
        chosen.append(conformal_quantiles(errors[members]))
        stretch.append(_stretch(of_mean[members], seen.origin[members]))
    return Offsets(edges, np.stack(chosen), np.array(stretch))


def _stretch(errors: Floats, origin: Ints) -> float:
    """How much further the errors of an origin to come lie apart than those that are pooled here, at least 1.

    Where `b` is the variance of what the rows of an origin share, beside that of the rows within, `K` origins pooled around their
    own mean show (1 - 1/K) b of it, and the next one lies (1 + 1/K) b around that mean: 2/K b more.
    """
    _, place, count = np.unique(origin, return_inverse=True, return_counts=True)
    number, variance = len(count), float(errors.var())
    if number < 2 or not variance > 0:  # one origin says nothing of how far others may lie
        return 1.0
    shared = np.bincount(place, errors) / count
    within = np.bincount(place, (errors - shared[place]) ** 2) / count
    between = float(shared.var(ddof=1) - (within / count).mean())  # less what chance alone puts between their means
    return float(np.sqrt(1 + 2 / number * max(between, 0.0) / variance))


def _edges(mean: Floats, number: int) -> Floats:
    """Between about so many segments of as many rows each, none of which has means on both sides of a gap."""
    ordered = np.sort(mean)
    lifted = ordered + NOTHING * ordered.mean()
    starts = [0]
    for at in np.flatnonzero(lifted[1:] > APART * lifted[:-1]) + 1:
        if min(at - starts[-1], len(ordered) - at) >= FEWEST_ROWS:
            starts.append(int(at))
    edges = [(ordered[at - 1] + ordered[at]) / 2 for at in starts[1:]]
    for start, stop in pairwise([*starts, len(ordered)]):
        pieces = max(1, round(number * (stop - start) / len(ordered)))
        edges.extend(np.quantile(ordered[start:stop], np.arange(1, pieces) / pieces))
    return np.unique(edges)


def towards(mean: Floats, scale: Floats, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Another forecast's quantiles [..., level], stretched halfway (of a ratio) from their own mean to a mean [...], in units."""
    own = unit_of_error(quantiles @ _SHARES, scale)
    factor = np.clip(unit_of_error(mean, scale) / own, 1 / MAX_FACTOR, MAX_FACTOR)
    moved: NDArray[np.float64] = quantiles * np.sqrt(factor)[..., None]
    return moved


def constant(mean: Floats) -> NDArray[np.float64]:
    """[..., level]: the mean at every level, for offsets to start from."""
    return np.broadcast_to(mean[..., None], (*mean.shape, len(LEVELS)))
