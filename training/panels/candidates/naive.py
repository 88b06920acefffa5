"""The two rules that every other candidate is held against: seasonal naive, and the mean of the last 28 periods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from training.panels.candidates.base import Made, Task, by_origin
from training.panels.features import FeatureMaker
from training.rows import Floats

SEASONAL_NAIVE, MOVING_AVERAGE = "seasonal_naive", "moving_average"
WINDOW = 28


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """The latest known value at the same place in the season, else the last known value."""

    name: str = SEASONAL_NAIVE
    pooled: bool = False

    def params(self) -> dict[str, Any]:
        """It needs nothing."""
        return {}

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Learns nothing over all series."""
        season = maker.panel.dataset.season_length
        return by_origin(
            maker, task, lambda origin, asked: seasonal(maker.panel.units[asked, : origin + 1], season, task.horizon)
        )


@dataclass(frozen=True, slots=True)
class MovingAverage:
    """The mean of the last 28 periods' known values, else the last known value."""

    name: str = MOVING_AVERAGE
    pooled: bool = False

    def params(self) -> dict[str, Any]:
        """Its window, in periods."""
        return {"window": WINDOW}

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Learns nothing over all series."""
        return by_origin(maker, task, lambda origin, asked: average(maker.panel.units[asked, : origin + 1], task.horizon))


def seasonal(history: Floats, season: int, horizon: int) -> Floats:
    """[series, lead]: the rule on a history [series, period]; NaN where it knows nothing at all."""
    periods = history.shape[1]
    out = np.full((len(history), horizon), np.nan)
    for lead in range(horizon):
        at = periods + lead - season * (lead // season + 1)
        while at >= 0:
            out[:, lead] = np.where(np.isnan(out[:, lead]), history[:, at], out[:, lead])
            at -= season
    return np.where(np.isnan(out), last_known(history)[:, None], out)


def average(history: Floats, horizon: int) -> Floats:
    """[series, lead]: the rule on a history [series, period]; NaN where it knows nothing at all."""
    window = history[:, -WINDOW:]
    known = ~np.isnan(window)
    count = known.sum(axis=1)
    mean = np.where(known, window, 0.0).sum(axis=1) / np.maximum(count, 1)
    level = np.where(count > 0, mean, last_known(history))
    return np.repeat(level[:, None], horizon, axis=1)


def last_known(history: Floats) -> Floats:
    """[series]: the last known value; NaN where none is."""
    known = ~np.isnan(history)
    column = np.where(known.any(axis=1), history.shape[1] - 1 - known[:, ::-1].argmax(axis=1), 0)
    return history[np.arange(len(history)), column]
