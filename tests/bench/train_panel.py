"""A simulated panel for `bench train`: a chain's products by stores, days, with weekdays, promotions, and many rare sellers."""

from __future__ import annotations

import datetime as dt

import numpy as np

from training.panels.dataset import Dataset
from training.panels.panel import Panel
from training.rows import Floats

PRODUCTS = 100  # in each store
SHARE_PROMOTED = 0.08
UPLIFT = 1.8
DISCOUNT = 0.8
FIRST = dt.date(2024, 1, 1)  # a Monday


def simulated(series: int, periods: int, horizon: int, seed: int = 7) -> Panel:
    """So many series and periods, the last `horizon` of which are to be judged. Many sell on fewer than half of all days.

    Counts are of a Poisson process whose rate drifts; a promotion runs in a store for a week, is known ahead and cuts the price.
    """
    random = np.random.default_rng(seed)
    stores = np.arange(series) // PRODUCTS
    level = random.lognormal(0.8, 1.3, series)
    drift = np.exp(np.cumsum(random.normal(0, 0.03, (series, periods)), axis=1))
    weekday = 1 + 0.4 * np.sin(
        2 * np.pi * (np.arange(periods)[None, :] + random.integers(0, 7, stores.max() + 1)[stores, None]) / 7
    )
    weeks = -(-periods // 7)
    promoted = np.repeat(random.random((series, weeks)) < SHARE_PROMOTED, 7, axis=1)[:, :periods].astype(np.float64)
    mean: Floats = level[:, None] * drift * weekday * (1 + (UPLIFT - 1) * promoted)
    price = random.integers(100, 2_000, series).astype(np.float64)
    dataset = Dataset("simulated", "D", 7, horizon, (FIRST + dt.timedelta(days=periods - 1 - horizon),))
    return Panel(
        dataset=dataset,
        first=FIRST,
        stores=np.array([f"S{number:03d}" for number in stores]),
        products=np.array([f"P{number % PRODUCTS:03d}" for number in range(series)]),
        units=random.poisson(mean).astype(np.float64),
        price=price[:, None] * np.where(promoted > 0, DISCOUNT, 1.0),
        known={"x_promotion": promoted},
        codes={"product_category": (np.arange(series) % PRODUCTS) // 10},
    )
