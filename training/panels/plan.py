"""What is known of the planned periods: prices and the covariates known ahead, against what they usually are.

The analogue looks back at the periods whose plan was like the target's: promotions and prices repeat, and so do their effects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from training.panels.block import Asked
from training.panels.calendar import Rhythm
from training.panels.groups import Group, added
from training.panels.history import Counts, compact, mean_over, parts_of, ratio, shifted, smoothed
from training.panels.panel import Panel
from training.rows import Floats, Matrix

Named = tuple[str, Floats | Matrix]
ANALOG_WIDTH = 0.35  # how alike plans must be, in standard deviations of the panel
ANALOG_PERIODS = 104  # looked back on
ANALOG_SMOOTH = 0.1  # of the level that a period is set against
ANALOG_ROWS = 8192  # that are looked back from at a time
USUAL_PRICE_SMOOTH = 0.1  # of the price that stands for a base price where there is none
MAX_UPLIFT = 20.0  # a first sale after a long pause is no promotion
ANALOG_PRIOR = 2.0  # periods at the usual level that an analogue is drawn towards


def filled(price: Floats) -> Floats:
    """Prices with gaps filled by the last one before: an unknown price is the old one."""
    known = ~np.isnan(price)
    at = np.maximum.accumulate(np.where(known, np.arange(price.shape[1])[None, :], -1), axis=1)
    return np.where(at >= 0, np.take_along_axis(price, np.maximum(at, 0), axis=1), np.nan)


class Plan:
    """The plan of a panel as features; causal but for what was announced.

    `signals` are the covariates known ahead, and the discount. `deviations` are their standard deviations, by which the analogue
    tells how alike two plans are: the panel's own, unless a model that was kept brings those it has learnt with.
    """

    def __init__(self, panel: Panel, demand: Floats, groups: list[Group], deviations: Mapping[str, float] | None = None) -> None:
        self.rhythm = Rhythm.of(panel.dataset.freq, panel.dataset.season_length)
        self.price = None if panel.price is None else compact(_log, panel.price)
        self.signals: dict[str, Floats | Matrix] = dict(panel.known)
        if panel.price is not None:
            prices = [panel.price] if panel.base_price is None else [panel.price, panel.base_price]
            self.signals["discount"] = compact(_discount, *prices)
        by_name = {group.name: group for group in groups}
        self.shelf = by_name.get("shelf") or by_name.get("store")
        self.on_shelf: dict[str, tuple[Floats, Counts]] = (
            {} if self.shelf is None else {name: added(v, self.shelf.member) for name, v in self.signals.items()}
        )
        self.uplift = compact(_uplift, demand)
        self.deviations = {name: _deviation(v) for name, v in self.signals.items()} if deviations is None else deviations
        self.telling = [name for name in self.signals if self.deviations.get(name, 0.0) > 0]

    def features(self, asked: Asked) -> Iterator[Named]:
        """[row] of each; the plan of the periods up to the horizon."""
        row, target = asked.row_series, asked.target
        for name, values in self.signals.items():
            now = values[row, target]
            yield name, now
            yield f"{name}_change", now - self._usual(values, asked, self.rhythm.recent)
            yield f"{name}_before", values[row, target - 1]
            last = min(asked.origin + asked.horizon, values.shape[1] - 1)
            yield f"{name}_after", values[row, np.minimum(target + 1, last)]
            if self.shelf is not None:
                shelf, (total, number) = self.shelf.member[row], self.on_shelf[name]
                yield f"{name}_peers", _of_others(now, total[shelf, target], number[shelf, target])
        if self.price is not None:
            now = self.price[row, target]
            yield "price_change", now - self._usual(self.price, asked, self.rhythm.recent)
            yield "price_long_change", now - self._usual(self.price, asked, self.rhythm.long)
            yield "price_step", now - self.price[row, target - 1]
        if self.telling:
            yield from self._analogue(asked)

    def _usual(self, values: Floats | Matrix, asked: Asked, length: int) -> Floats:
        """[row]: the mean over the periods up to the origin."""
        window = values[asked.series, max(0, asked.origin + 1 - length) : asked.origin + 1]
        return mean_over(window, 1)[asked.of]

    def _analogue(self, asked: Asked) -> Iterator[Named]:
        past = slice(max(0, asked.origin + 1 - ANALOG_PERIODS), asked.origin + 1)
        uplift = self.uplift[asked.series, past]
        known = (~np.isnan(uplift)).astype(np.float32)
        value = np.where(known > 0, uplift, np.float32(0.0))
        usual = ratio(value.sum(axis=1, dtype=np.float64), known.sum(axis=1, dtype=np.float64))
        plans = [self._standard(name, self.signals[name][asked.series, past]) for name in self.telling]
        planned = [self._standard(name, self.signals[name][asked.row_series, asked.target]) for name in self.telling]
        whole = [not (np.isnan(plan).any() or np.isnan(target).any()) for plan, target in zip(plans, planned, strict=True)]
        mean, weight = np.empty(len(asked.of)), np.empty(len(asked.of))
        for rows in parts_of(len(asked.of), ANALOG_ROWS):
            of = asked.of[rows]
            distance = np.zeros((len(of), value.shape[1]), dtype=np.float32)
            for plan, target, complete in zip(plans, planned, whole, strict=True):
                gap = plan[of]
                gap -= target[rows, None]
                gap *= gap
                distance += gap if complete else np.nan_to_num(gap)
            distance *= np.float32(-0.5 / ANALOG_WIDTH**2)
            alike = np.exp(distance, out=distance)
            weight[rows] = np.einsum("rp,rp->r", alike, known[of])
            mean[rows] = np.einsum("rp,rp->r", alike, value[of])
        yield "analogue", (mean + ANALOG_PRIOR * usual[asked.of]) / (weight + ANALOG_PRIOR)
        yield "analogue_weight", weight

    def _standard(self, name: str, values: Floats | Matrix) -> Matrix:
        return (values / self.deviations[name]).astype(np.float32)


def _of_others(now: Floats | Matrix, total: Floats, number: Counts) -> Floats:
    """[row]: mean of a signal over the other series of the shelf (else the store): their promotion takes sales away."""
    known = ~np.isnan(now)
    return ratio(total - np.where(known, now, 0.0), (number - known).astype(np.float64))


def _uplift(demand: Floats) -> Floats:
    """[series, column]: demand over the level before it."""
    level = shifted(smoothed(demand, ANALOG_SMOOTH))
    return np.where(level > 0, ratio(demand, level), np.nan).clip(0.0, MAX_UPLIFT)


def _discount(price: Floats, base: Floats | None = None) -> Floats:
    """[series, column]: logarithm of the price over the base price, else over what it was of late."""
    known = _log(price)
    return known - (shifted(smoothed(known, USUAL_PRICE_SMOOTH)) if base is None else _log(base))


def _log(price: Floats) -> Floats:
    known = filled(price)
    return np.log(np.where(known > 0, known, np.nan))


def _deviation(values: Floats | Matrix) -> float:
    """The standard deviation of what is known; 0 where nothing is."""
    count = sum(int((~np.isnan(values[part])).sum()) for part in parts_of(len(values)))
    if not count:
        return 0.0
    mean = sum(float(np.nansum(values[part], dtype=np.float64)) for part in parts_of(len(values))) / count
    square = sum(float(np.nansum((values[part] - mean) ** 2, dtype=np.float64)) for part in parts_of(len(values)))
    return float(np.sqrt(square / count))
