"""What the periods up to any column say of each series, computed once for all columns: every value reads its past alone.

Means over windows come from prefix sums, so that one costs the same whatever its length. Unknown periods count nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rows import Floats, Matrix

ROUNDING = 1e-13  # of a running sum: what is left where a window is empty of it, which a ratio would make huge
Counts = NDArray[np.int32]  # half the memory of a float: a panel has dozens of such matrices


@dataclass(frozen=True, slots=True)
class Prefix:
    """Sums over all columns before one: [rows, columns + 1] of values and of how many are known."""

    total: Floats
    known: Floats | Counts

    @staticmethod
    def of(values: Floats, known: Floats | Counts | None = None) -> Prefix:
        """The prefix sums of a matrix with NaN where nothing is known; `known` are those of another that is known where it is."""
        if known is None:
            known = np.zeros((len(values), values.shape[1] + 1), dtype=np.int32)
            np.cumsum(~np.isnan(values), axis=1, out=known[:, 1:])
        return Prefix(_before(np.nan_to_num(values)), known)

    def window(self, last: int, length: int) -> tuple[Floats, Floats]:
        """Sum and number of known values over the `length` columns that end with `last`; both 0 before the first column."""
        end = min(max(last + 1, 0), self.total.shape[1] - 1)
        start = min(max(last + 1 - length, 0), end)
        part = self.total[:, end] - self.total[:, start]
        part[np.abs(part) < ROUNDING * np.abs(self.total[:, end])] = 0.0
        return part, (self.known[:, end] - self.known[:, start]).astype(np.float64)

    def mean(self, last: int, length: int) -> Floats:
        """Mean of the known values of the window; NaN where none is."""
        return ratio(*self.window(last, length))

    def between(self, first: int, last: int) -> Floats:
        """Mean of the known values of the columns first..last; NaN where none is."""
        return self.mean(last, last - first + 1)


def _before(values: Floats) -> Floats:
    sums = np.zeros((len(values), values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where the whole is 0."""
    out: Floats = np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)
    return out


def smoothed(values: Floats, alpha: float) -> Floats:
    """Exponentially smoothed level after each column (Brown 1959), started at the first known value; NaN before it.

    An unknown period leaves the level as it was.
    """
    out = np.empty_like(values)
    level = np.full(len(values), np.nan)
    for column in range(values.shape[1]):
        now = values[:, column]
        started = np.where(np.isnan(level), now, level + alpha * (now - level))
        level = np.where(np.isnan(now), level, started)
        out[:, column] = level
    return out


def periods_since(event: Floats) -> Matrix:
    """[series, column]: periods since the event was last true (0 on the day itself); NaN before the first time."""
    at = np.where(event > 0, np.arange(event.shape[1])[None, :].astype(np.float64), -np.inf)
    since = np.arange(event.shape[1])[None, :] - np.maximum.accumulate(at, axis=1)
    return np.where(np.isfinite(since), since, np.nan).astype(np.float32)  # whole numbers: nothing is lost


def mean_of(parts: Sequence[Floats]) -> Floats:
    """Element by element, the mean of what is known among equally shaped arrays; NaN where nothing is."""
    stack = np.stack(parts)
    known = ~np.isnan(stack)
    return ratio(np.where(known, stack, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))
