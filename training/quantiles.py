"""Quantiles that neither cross nor lie: sorting, and a conformal correction learnt on rows that the model has not seen.

Conformalised quantile regression, one-sided per level (Romano, Patterson & Candès 2019): the score of a row is
(y - q) / sqrt(1 + mean), and a level's offset is the empirical quantile of the scores at that level. The divisor grows as the
spread of a count does, so that one offset serves slow and fast movers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.rows import LEVELS, Floats, Ints

GROUP_STARTS = (0, 1, 7)  # target days ahead: today, the coming week, the week after
MIN_CALIBRATION = 100  # rows below which a horizon group borrows the offsets of all rows


def horizon_group(days_ahead: Floats | Ints) -> Ints:
    """0 for today, 1 for the next six days, 2 beyond."""
    return (np.searchsorted(GROUP_STARTS, days_ahead, side="right") - 1).astype(np.int64)


def spread(mean: Floats) -> Floats:
    """The scale of a row's error, in units."""
    scale: Floats = np.sqrt(1.0 + np.maximum(mean, 0.0))
    return scale


def conformal_offsets(target: Floats, mean: Floats, quantiles: Floats, groups: Ints) -> Floats:
    """[horizon group, level]: what to add to a quantile, in multiples of `spread`. Zero where there is nothing to learn from."""
    scores = (target[:, None] - quantiles) / spread(mean)[:, None]
    pooled = conformal_quantiles(scores)
    chosen = [scores[groups == group] for group in range(len(GROUP_STARTS))]
    return np.stack([conformal_quantiles(part) if len(part) >= MIN_CALIBRATION else pooled for part in chosen])


def adjust(mean: Floats, quantiles: Floats, groups: Ints, offsets: Floats) -> Floats:
    """The quantiles with their group's offsets, at least 0 and in ascending order."""
    moved = quantiles + offsets[groups] * spread(mean)[:, None]
    return np.sort(np.maximum(moved, 0.0), axis=1)


def conformal_quantiles(scores: Floats) -> Floats:
    """[level]: of scores [row, level] the one at that level, by the finite-sample rank ceil((n + 1) a); zeros where none are."""
    count = len(scores)
    if not count:
        return np.zeros(len(LEVELS))
    ordered: NDArray[np.float64] = np.sort(scores, axis=0)
    ranks = np.clip(np.ceil((count + 1) * np.asarray(LEVELS)) - 1, 0, count - 1).astype(int)
    chosen: Floats = ordered[ranks, np.arange(len(LEVELS))]
    return chosen
