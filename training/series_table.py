"""Forecasts worked out ahead, one line of days per series, as a lookup that reacts to the planned price and promotion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.baseline import naive_mean
from training.rows import LEVELS, Floats, Ints, Matrix, Names, column

# Standard normal quantiles of LEVELS: scipy would be the only other reason to load it where forecasts are served.
NORMAL = np.array([-1.6448536, -1.2815516, -0.6744898, 0.0, 0.6744898, 1.2815516, 1.6448536, 1.959964])


class Asked(NamedTuple):
    """Whose demand a row asks for: a model with a line per series needs it, a global one reads the row alone."""

    store_id: str
    product_id: str
    target_day: int


@dataclass(frozen=True, slots=True)
class SeriesTable:
    """One row per store × product: its expected demand on each of the days from `first_day` on, at `price_reference` cents
    and without promotion, and what a cent and a promotion add. `sigma` is the standard deviation of a whole day, in units."""

    store: Names
    product: Names
    first_day: int
    base: Floats  # [series, day]
    price_reference: Floats
    price_slope: Floats
    promotion_slope: Floats
    sigma: Floats

    def predict(self, x: Matrix, asked: Sequence[Asked]) -> tuple[Floats, Floats, int]:
        """Mean, quantiles and the number of rows that the seasonal naive rule had to answer: unknown series or days."""
        mean, sigma = naive_mean(x), np.zeros(len(x))
        place = self._places(asked)
        ahead = np.array([question.target_day for question in asked], dtype=np.int64) - self.first_day
        known = (place >= 0) & (ahead >= 0) & (ahead < self.base.shape[1])
        at = place[known]
        share = column(x, "share_of_day_left")[known]
        price = column(x, "planned_price")[known]
        price = np.where(np.isnan(price), self.price_reference[at], price)
        day = (
            self.base[at, ahead[known]]
            + self.price_slope[at] * (price - self.price_reference[at])
            + self.promotion_slope[at] * np.nan_to_num(column(x, "planned_promotion")[known])
        )
        mean[known] = np.maximum(day, 0.0) * share
        sigma[known] = self.sigma[at] * np.sqrt(share)  # independent hours: variances add up
        return mean, mean[:, None] + sigma[:, None] * NORMAL[: len(LEVELS)], int((~known).sum())

    def save(self, path: Path) -> None:
        """Writes one npz file."""
        np.savez_compressed(
            path,
            store=self.store,
            product=self.product,
            first_day=np.int64(self.first_day),
            base=self.base,
            price_reference=self.price_reference,
            price_slope=self.price_slope,
            promotion_slope=self.promotion_slope,
            sigma=self.sigma,
        )

    @classmethod
    def load(cls, path: Path) -> SeriesTable:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            values = dict(stored)
        return cls(**{**values, "first_day": int(values["first_day"])})

    def _places(self, asked: Sequence[Asked]) -> Ints:
        where = {(str(s), str(p)): at for at, (s, p) in enumerate(zip(self.store, self.product, strict=True))}
        return np.array([where.get((question.store_id, question.product_id), -1) for question in asked], dtype=np.int64)
