"""A panel as matrices: one row per series (store × product, in the order of their ids), one column per period."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from contracts.errors import UsageError
from training.panels.dataset import Dataset
from training.rows import Flags, Floats, Ints, Names

OPEN = "x_open"  # the one covariate with a meaning of its own: 0 where the store is closed
IN_STOCK = 1 - 1e-6  # at or above this share of the period the shelf was full


@dataclass(frozen=True, slots=True)
class Panel:
    """All matrices are [series, period]; NaN is unknown, which is not 0.

    `units` is in the data set's unit, `in_stock` the share of the period with stock, prices are in cents. `known` are the
    covariates known ahead. `codes` are attributes as whole numbers, [series]; -1 is unknown. `shut` is
    where a store sells nothing that nobody announced: see `closings`.
    """

    dataset: Dataset
    first: dt.date
    stores: Names
    products: Names
    units: Floats
    in_stock: Floats | None = None
    price: Floats | None = None
    base_price: Floats | None = None
    known: Mapping[str, Floats] = field(default_factory=dict)
    codes: Mapping[str, Ints] = field(default_factory=dict)
    shut: Flags | None = None

    @property
    def series(self) -> int:
        """How many series."""
        return len(self.stores)

    @property
    def periods(self) -> int:
        """How many periods, the planned ones with them."""
        return int(self.units.shape[1])

    def column_of(self, day: dt.date) -> int:
        """The column of a period's first day. Raises UsageError off the grid."""
        days = (day - self.first).days
        if days % self.dataset.step_days:
            raise UsageError(
                f"{day} is not the first day of a period",
                doing="placing a date in the panel",
                why=f"periods start on {self.first} and every {self.dataset.step_days} days",
                hint=f"The nearest before it is {self.date_of(days // self.dataset.step_days)}.",
            )
        return days // self.dataset.step_days

    def last_known(self, origin: int) -> int:
        """The last column up to an origin in which anything is known; the origin itself where nothing is."""
        columns = range(min(origin, self.periods - 1), -1, -1)
        return next((column for column in columns if np.isfinite(self.units[:, column]).any()), origin)

    def date_of(self, column: int) -> dt.date:
        """The first day of a column's period."""
        return self.first + dt.timedelta(days=column * self.dataset.step_days)

    def at(self, origin: int, horizon: int) -> Panel:
        """What is known at an origin (a column): history up to it, and `horizon` planned periods with prices and covariates.

        The rest is not there at all, so that nothing can read it. Columns that the panel does not have yet are added, unknown.
        """
        width = origin + 1 + horizon
        plan = {name: _width(matrix, width) for name, matrix in self.known.items()}
        return replace(
            self,
            units=_hidden(self.units, origin, width),
            in_stock=None if self.in_stock is None else _hidden(self.in_stock, origin, width),
            price=None if self.price is None else _width(self.price, width),
            base_price=None if self.base_price is None else _width(self.base_price, width),
            known=plan,
            shut=None if self.shut is None else self.shut[:, :width],
        )

    def only(self, members: Flags) -> Panel:
        """The panel of those series alone; `members` is [series]."""
        return replace(
            self,
            stores=self.stores[members],
            products=self.products[members],
            units=self.units[members],
            in_stock=None if self.in_stock is None else self.in_stock[members],
            price=None if self.price is None else self.price[members],
            base_price=None if self.base_price is None else self.base_price[members],
            known={name: matrix[members] for name, matrix in self.known.items()},
            codes={name: codes[members] for name, codes in self.codes.items()},
            shut=None if self.shut is None else self.shut[members],
        )

    def closed(self) -> Flags | None:
        """[series, period]: where the store is known or expected to be closed; None where nothing is known of it."""
        return self.shut if OPEN not in self.known else self.known[OPEN] == 0

    def full(self) -> Floats:
        """Units of the periods in which all demand could be met; NaN on the others, whose sales are less than demand.

        Where the share in stock is not known, the sales are taken as they are: most panels have no such share at all. Where it
        never is 1, its largest value stands for a full shelf.
        """
        units = self.units
        if self.in_stock is not None:
            most = np.fmax.reduce(self.in_stock, axis=None, initial=0.0)
            units = np.where(np.isnan(self.in_stock) | (self.in_stock >= min(most, 1.0) * IN_STOCK), units, np.nan)
        shut = self.closed()
        return units if shut is None else np.where(shut & (units == 0), np.nan, units)


def _width(matrix: Floats, width: int) -> Floats:
    if matrix.shape[1] >= width:
        return matrix[:, :width]
    return np.concatenate([matrix, np.full((len(matrix), width - matrix.shape[1]), np.nan)], axis=1)


def _hidden(matrix: Floats, origin: int, width: int) -> Floats:
    return _width(matrix[:, : origin + 1], width)
