"""From means to quantiles: how far demand usually falls from a mean of that size, learnt on origins the mean had not seen.

The error of a row is put over `unit_of_error`, so that rows of one size can be pooled whatever their unit; rows are pooled by the
size of their mean, which tells whole numbers and zeros apart from large flows. A segment's quantiles are empirical, with the
finite-sample rank of conformal prediction (Romano, Patterson & Candès 2019), so their coverage holds where tomorrow is like then.
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
    """Flat rows of forecasts whose truth is known: truth, mean and the series' scale, all in units."""

    truth: Floats
    mean: Floats
    scale: Floats


@dataclass(frozen=True, slots=True)
class Offsets:
    """Per segment of the mean's size: what to add to a quantile, in `unit_of_error`. `edges` are in units."""

    edges: Floats
    of_segment: Floats  # [segment, level]

    def add(self, mean: Floats, scale: Floats, quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        """The quantiles [..., level] with their segment's offsets, at least 0 and in order; `mean` and `scale` are [...]."""
        moved = self.of_segment[self.segment(mean)]  # one array, changed in place: it is the largest of a forecast
        moved *= unit_of_error(mean, scale)[..., None]
        moved += quantiles
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
    """Offsets under which each level covers its share of the seen rows; `quantiles` is [row, level]. None seen: no offsets."""
    count = len(seen.truth)
    if not count:
        return Offsets(np.empty(0), np.zeros((1, len(LEVELS))))
    edges = _edges(seen.mean, max(1, min(segments, count // SEGMENT_ROWS)))
    errors = seen.truth[:, None] - quantiles
    errors /= unit_of_error(seen.mean, seen.scale)[:, None]
    place = np.searchsorted(edges, seen.mean, side="right")
    filled = np.bincount(place, minlength=len(edges) + 1) > 0
    chosen = [conformal_quantiles(errors[place == segment] if full else errors) for segment, full in enumerate(filled)]
    return Offsets(edges, np.stack(chosen))


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
