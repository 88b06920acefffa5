"""Which rows of an origin are asked for, and the rows: series × lead, as few or as many as a caller wants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contracts.errors import FingerprintMismatch
from training.rows import Flags, Floats, Ints, Matrix


@dataclass(frozen=True, slots=True)
class Asked:
    """Rows of one origin (a column). `series` is ascending, each once; `of` [row] is a row's place in it, `lead` [row] is from 1.

    Periods up to `horizon` after the origin are planned, whichever of them are asked for.
    """

    origin: int
    horizon: int
    series: Ints
    of: Ints
    lead: Ints

    @staticmethod
    def pairs(origin: int, horizon: int, series: Ints, lead: Ints) -> Asked:
        """The rows of those pairs, in their order."""
        distinct, of = np.unique(series, return_inverse=True)
        return Asked(origin, horizon, distinct, of, lead)

    @staticmethod
    def grid(origin: int, horizon: int, series: Ints) -> Asked:
        """All leads of those series, one series after the other."""
        lead = np.tile(np.arange(1, horizon + 1), len(series))
        return Asked(origin, horizon, series, np.repeat(np.arange(len(series)), horizon), lead)

    @property
    def row_series(self) -> Ints:
        """[row]: the series."""
        return self.series[self.of]

    @property
    def target(self) -> Ints:
        """[row]: the column of the planned period."""
        return self.origin + self.lead


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of features: `x` is [row, feature], `scale` [row] in units."""

    names: tuple[str, ...]
    x: Matrix
    scale: Floats

    def where(self, members: Flags) -> Block:
        """Some of the rows."""
        return Block(self.names, self.x[members], self.scale[members])

    def of(self, names: tuple[str, ...]) -> Matrix:
        """The features of those names, in that order. Raises FingerprintMismatch where one lacks."""
        if names == self.names:
            return self.x
        missing = [name for name in names if name not in self.names]
        if missing:
            raise FingerprintMismatch(
                f"The model reads {', '.join(missing[:5])}, of which this panel has nothing",
                doing="forecasting with a model that was kept",
                why="a column, an attribute or history that it was trained with is not there",
                hint="Give the panel these columns, or forecast without --model.",
            )
        return self.x[:, [self.names.index(name) for name in names]]
