"""Which series get a model of their own, where models are made one by one and time is bounded."""

from __future__ import annotations

import numpy as np

from training.rows import Floats, Ints

PROPHET = "prophet"  # here, so that its name can be read without its library
BOUND = 3.0  # times the largest value seen: a trend that runs away is no forecast
RECENT_SHARE = 0.5  # of the history: a model per series is for the series that sell now


def largest(history: Floats, min_periods: int, limit: int | None) -> Ints:
    """The rows of [series, period] with enough known periods and any sale that sell most of late; all where `limit` is None."""
    late = np.nan_to_num(history[:, int(history.shape[1] * (1 - RECENT_SHARE)) :])
    known = (~np.isnan(history)).sum(axis=1)
    usable = np.nonzero((known >= min_periods) & (late.sum(axis=1) > 0))[0]
    order = usable[np.argsort(-late[usable].sum(axis=1), kind="stable")]
    return np.sort(order if limit is None else order[:limit])


def gapless(history: Floats) -> Floats:
    """[series, period] from each series' first known value on, unknown periods filled with the mean of what is known before."""
    known = ~np.isnan(history)
    number = np.cumsum(known, axis=1)
    before = np.cumsum(np.where(known, history, 0.0), axis=1) / np.where(number > 0, number, np.nan)
    return np.where(known, history, before)
