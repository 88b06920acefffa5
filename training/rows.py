"""What models are fitted on and asked: rows of numbers, and the daily history behind them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.vector import MODEL_INPUTS

Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Names = NDArray[np.str_]

LEVELS: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
HORIZON = 14  # target days 0 to 13: today and the 13 days after it
_COLUMN = {name: at for at, name in enumerate(MODEL_INPUTS)}


@dataclass(frozen=True, slots=True)
class Rows:
    """One row per store × product × as-of time × target day.

    `as_of` is in ms, days are store-local day numbers. `x` holds MODEL_INPUTS, float32 as the models read them. `target` is the
    demand of the target day in units, for the as-of day what is left of it after `as_of`; NaN where it is not known yet.
    """

    store: Names
    product: Names
    as_of: Ints
    as_of_day: Ints
    target_day: Ints
    x: Matrix
    target: Floats

    def __len__(self) -> int:
        return len(self.store)

    def column(self, name: str) -> Floats:
        """One of MODEL_INPUTS."""
        return column(self.x, name)

    def where(self, mask: Flags) -> Rows:
        """The rows on which the mask is true."""
        return replace(self, **{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    def known(self) -> Rows:
        """The rows whose target is known."""
        return self.where(~np.isnan(self.target))

    @staticmethod
    def concatenate(parts: list[Rows]) -> Rows:
        """All rows of the parts, in their order."""
        return Rows(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)})


@dataclass(frozen=True, slots=True)
class Daily:
    """One row per store × product × complete store-local day on sale, ordered by them. Demand in units, prices in cents."""

    store: Names
    product: Names
    day: Ints
    demand: Floats
    price: Floats  # planned, NaN where none was announced
    promoted: Floats  # 0 or 1, NaN where unknown

    def __len__(self) -> int:
        return len(self.day)

    def before(self, day: int) -> Daily:
        """The days before a day."""
        mask = self.day < day
        return replace(self, **{field.name: getattr(self, field.name)[mask] for field in fields(self)})

    def series(self) -> dict[tuple[str, str], slice]:
        """Where the days of each store × product are."""
        if not len(self):
            return {}
        change = (self.store[1:] != self.store[:-1]) | (self.product[1:] != self.product[:-1])
        starts = [0, *(np.flatnonzero(change) + 1).tolist()]
        ends = [*starts[1:], len(self)]
        return {(str(self.store[a]), str(self.product[a])): slice(a, b) for a, b in zip(starts, ends, strict=True)}


@dataclass(frozen=True, slots=True)
class History:
    """All that a candidate may learn from at an origin: rows with known targets, and the days, all before `origin_day`."""

    rows: Rows
    daily: Daily
    origin_day: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """One row per asked row: the mean and the quantiles at LEVELS, in units, neither negative nor crossing."""

    mean: Floats
    quantiles: Floats


def column(x: Matrix, name: str) -> Floats:
    """One of MODEL_INPUTS as doubles."""
    return x[:, _COLUMN[name]].astype(np.float64)


def data_fingerprint(rows: Rows) -> str:
    """16 hexadecimal digits that change with any row's key, input or target."""
    digest = hashlib.sha256()
    for field in fields(rows):
        values: NDArray[Any] = getattr(rows, field.name)
        digest.update("\x1f".join(values).encode() if values.dtype.kind == "U" else np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]
