"""What the periods up to any column say of each series, computed once for all columns: every value reads its past alone.

Means over windows come from prefix sums, so that one costs the same whatever its length. Unknown periods count nowhere. What is
kept beside the sums takes four bytes: a panel of a hundred million periods has a dozen such matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.rows import Floats, Ints, Matrix

ROUNDING = 1e-13  # of a running sum: what is left where a window is empty of it, which a ratio would make huge
PART = 2048  # series that are worked on at a time, so that what is needed on the way stays small
Counts = NDArray[np.int32]
Columns = int | Ints
EVERY = slice(None)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Sums over all columns before one: [rows, columns + 1] of values and of how many are known."""

    total: Floats
    known: Counts

    @staticmethod
    def of(values: Floats, known: Counts | None = None) -> Prefix:
        """The prefix sums of a matrix with NaN where nothing is known; `known` are those of another that is known where it is."""
        total = np.zeros((len(values), values.shape[1] + 1))
        for part in parts_of(len(values)):
            np.cumsum(np.nan_to_num(values[part]), axis=1, out=total[part, 1:])
        if known is None:
            known = np.zeros(total.shape, dtype=np.int32)
            np.cumsum(~np.isnan(values), axis=1, out=known[:, 1:])
        return Prefix(total, known)

    def window(self, last: Columns, length: Columns, rows: slice | Ints = EVERY) -> tuple[Floats, Floats]:
        """Sum and number of known values over the `length` columns that end with `last`; both 0 before the first column.

        `last` and `length` may be of each of the `rows`.
        """
        end = np.clip(np.asarray(last) + 1, 0, self.total.shape[1] - 1)
        start = np.clip(np.asarray(last) + 1 - length, 0, end)
        upper = self.total[rows, end]
        part = upper - self.total[rows, start]
        part[np.abs(part) < ROUNDING * np.abs(upper)] = 0.0
        return part, (self.known[rows, end] - self.known[rows, start]).astype(np.float64)

    def mean(self, last: Columns, length: Columns, rows: slice | Ints = EVERY) -> Floats:
        """Mean of the known values of the window; NaN where none is."""
        return ratio(*self.window(last, length, rows))

    def between(self, first: Columns, last: Columns, rows: slice | Ints = EVERY) -> Floats:
        """Mean of the known values of the columns first..last; NaN where none is."""
        return self.mean(last, last - first + 1, rows)


def parts_of(rows: int, size: int | None = None) -> Iterator[slice]:
    """The rows in slices of that size, else of PART."""
    step = size or PART
    return (slice(at, min(at + step, rows)) for at in range(0, rows, step))


def compact(make: Callable[..., Floats], *matrices: Floats) -> Matrix:
    """What is made of matrices [series, column], row by row alone, in four bytes and without whole matrices on the way."""
    out = np.empty(matrices[0].shape, dtype=np.float32)
    for part in parts_of(len(out)):
        out[part] = make(*(matrix[part] for matrix in matrices))
    return out


def ratio(part: Floats, whole: Floats) -> Floats:
    """part / whole; NaN where the whole is 0."""
    out: Floats = np.divide(part, whole, out=np.full(np.broadcast(part, whole).shape, np.nan), where=whole != 0)
    return out


def smoothed(values: Floats, alpha: float) -> Floats:
    """Exponentially smoothed level after each column (Brown 1959), started at the first known value; NaN before it.

    An unknown period leaves the level as it was.
    """
    columns = np.ascontiguousarray(values.T)  # one column after the other is read and written
    out = np.empty_like(columns)
    level = np.full(len(values), np.nan)
    for column, now in enumerate(columns):
        started = np.where(np.isnan(level), now, level + alpha * (now - level))
        level = np.where(np.isnan(now), level, started)
        out[column] = level
    return out.T


def shifted(values: Floats) -> Floats:
    """Each column as it was one before."""
    return np.concatenate([np.full((len(values), 1), np.nan), values[:, :-1]], axis=1)


def periods_since(event: Floats) -> Floats:
    """[series, column]: periods since the event was last true (0 on the day itself); NaN before the first time."""
    at = np.where(event > 0, np.arange(event.shape[1])[None, :].astype(np.float64), -np.inf)
    since = np.arange(event.shape[1])[None, :] - np.maximum.accumulate(at, axis=1)
    return np.where(np.isfinite(since), since, np.nan)


def mean_of(parts: Sequence[Floats]) -> Floats:
    """Element by element, the mean of what is known among equally shaped arrays; NaN where nothing is."""
    return mean_over(np.stack(parts), 0)


def mean_over(values: Floats | Matrix, axis: int) -> Floats:
    """The mean of what is known along an axis; NaN where nothing is."""
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(axis=axis, dtype=np.float64), known.sum(axis=axis).astype(np.float64))
