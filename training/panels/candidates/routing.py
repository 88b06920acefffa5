"""Which series get a model of their own, where models are made one by one and time is bounded."""

from __future__ import annotations

import numpy as np

from training.rows import Floats, Ints

PROPHET = "prophet"  # here, so that its name can be read without its library
BOUND = 3.0  # times the largest value seen: a trend that runs away is no forecast
RECENT_SHARE = 0.5  # of the history: a model per series is for the series that sell now


def largest(units: Floats, demand: Floats, min_periods: int, limit: int | None) -> Ints:
    """The rows of [series, period] with enough known demand and any sale that sell most of late; all where `limit` is None.

    Of a series that was hardly ever in stock much is sold, and little known.
    """
    late = np.nan_to_num(units[:, int(units.shape[1] * (1 - RECENT_SHARE)) :]).sum(axis=1)
    usable = np.flatnonzero(((~np.isnan(demand)).sum(axis=1) >= min_periods) & (late > 0))
    order = usable[np.argsort(-late[usable], kind="stable")]
    return np.sort(order if limit is None else order[:limit])


def gapless(history: Floats) -> Floats:
    """[series, period] from each series' first known value on, unknown periods filled with the mean of what is known before."""
    known = ~np.isnan(history)
    number = np.cumsum(known, axis=1)
    before = np.cumsum(np.where(known, history, 0.0), axis=1) / np.where(number > 0, number, np.nan)
    return np.where(known, history, before)
