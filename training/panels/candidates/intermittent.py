"""TSB and SBA, for intermittent demand, on all series at once, which say of each what statsforecast says of it alone.

SBA: Croston's method (Croston 1972) times the correction of Syntetos & Boylan 2005. TSB: Teunter, Syntetos & Babai 2011. Both
take full periods only, unknown ones filled, and have nothing to say of series that are too short for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from training.panels.candidates.base import Made, Task, by_origin
from training.panels.candidates.routing import BOUND, gapless, largest
from training.panels.features import FeatureMaker
from training.panels.history import parts_of
from training.rows import Flags, Floats, Ints

TSB, SBA = "tsb", "sba"
TSB_SMOOTHING, SBA_SMOOTHING = 0.2, 0.1
SBA_CORRECTION = 1 - SBA_SMOOTHING / 2
SHORTEST = 4  # known periods


@dataclass(frozen=True, slots=True)
class Intermittent:
    """The candidate: `name` is one of the two."""

    name: str
    pooled: bool = False

    def params(self) -> dict[str, Any]:
        """The share of the newest value in what is smoothed."""
        return {"smoothing": TSB_SMOOTHING if self.name == TSB else SBA_SMOOTHING}

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Each series is smoothed up to each origin; nothing is learnt over all of them."""
        return by_origin(maker, task, lambda origin, asked: self._means(maker, origin, asked, task.horizon))

    def _means(self, maker: FeatureMaker, origin: int, asked: Ints, horizon: int) -> Floats:
        demand = maker.demand[asked, : origin + 1]
        usable = largest(maker.panel.units[asked, : origin + 1], demand, SHORTEST, None)
        level = np.full(len(asked), np.nan)
        for part in parts_of(len(usable)):
            history = gapless(demand[usable[part]])
            said = tsb(history) if self.name == TSB else sba(history)
            level[usable[part]] = np.clip(said, 0.0, BOUND * np.fmax.reduce(history, axis=1).clip(0.0))
        return np.repeat(level[:, None], horizon, axis=1)


def sba(history: Floats) -> Floats:
    """[series]: size over interval of the sales of [series, period], smoothed from sale to sale; NaN precedes a series' start."""
    size, sales = _smoothed(history, history > 0, SBA_SMOOTHING)
    interval, _ = _smoothed(_since_change(history), _changes(history), SBA_SMOOTHING)
    return SBA_CORRECTION * np.where(sales, np.divide(size, interval, out=size.copy(), where=interval > 0), history[:, -1])


def tsb(history: Floats) -> Floats:
    """[series]: probability of a sale, smoothed over [series, period], times its size, smoothed from sale to sale."""
    size, sales = _smoothed(history, history > 0, TSB_SMOOTHING)
    probability, _ = _smoothed(_changes(history).astype(np.float64), ~np.isnan(history), TSB_SMOOTHING)
    return np.where(sales, probability * size, 0.0)


def _smoothed(values: Floats, counts: Flags, share: float) -> tuple[Floats, Flags]:
    """[series]: exponential smoothing over the periods that count, from the first of them; and whether there is one."""
    state, begun = np.zeros(len(values)), np.zeros(len(values), dtype=bool)
    for value, counted in zip(values.T, counts.T, strict=True):
        state = np.where(counted, state + np.where(begun, share, 1.0) * (value - state), state)
        begun |= counted
    return state, begun


def _changes(history: Floats) -> Flags:
    """[series, period]: something was sold, or more came back than was sold."""
    changed: Flags = (history != 0) & ~np.isnan(history)
    return changed


def _since_change(history: Floats) -> Floats:
    """[series, period]: periods since the last one with a change before it; of the first, its number from the series' start."""
    period = np.arange(1, history.shape[1] + 1)
    latest = np.maximum.accumulate(np.where(_changes(history), period, 0), axis=1)
    before = np.concatenate([np.zeros((len(history), 1), dtype=latest.dtype), latest[:, :-1]], axis=1)
    start = np.isnan(history).sum(axis=1, keepdims=True)
    since: Floats = np.subtract(period, np.maximum(before, start), dtype=np.float64)
    return since
