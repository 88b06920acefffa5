"""What is known of the planned periods: prices and the covariates known ahead, against what they usually are.

The analogue looks back at the periods whose plan was like the target's: promotions and prices repeat, and so do their effects.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from training.panels.calendar import Rhythm
from training.panels.groups import Group
from training.panels.history import Prefix, ratio, smoothed
from training.panels.panel import Panel
from training.rows import Floats, Ints, Matrix

Named = tuple[str, Floats | Matrix]
ANALOG_WIDTH = 0.35  # how alike plans must be, in standard deviations of the panel
ANALOG_PERIODS = 104  # looked back on
ANALOG_SMOOTH = 0.1  # of the level that a period is set against
MAX_UPLIFT = 20.0  # a first sale after a long pause is no promotion
ANALOG_PRIOR = 2.0  # periods at the usual level that an analogue is drawn towards


def filled(price: Floats) -> Floats:
    """Prices with gaps filled by the last one before: an unknown price is the old one."""
    known = ~np.isnan(price)
    at = np.maximum.accumulate(np.where(known, np.arange(price.shape[1])[None, :], -1), axis=1)
    return np.where(at >= 0, np.take_along_axis(price, np.maximum(at, 0), axis=1), np.nan)


class Plan:
    """The plan of a panel as features; causal but for what was announced.

    `deviations` are the signals' standard deviations, by which the analogue tells how alike two plans are: the panel's own,
    unless a model that was kept brings those it has learnt with.
    """

    def __init__(self, panel: Panel, groups: list[Group], deviations: Mapping[str, float] | None = None) -> None:
        self.panel = panel
        self.rhythm = Rhythm.of(panel.dataset.freq, panel.dataset.season_length)
        self.by_name = {group.name: group for group in groups}
        self.price = None if panel.price is None else _log(filled(panel.price))
        self.base = None if panel.base_price is None else _log(filled(panel.base_price))
        self.signals: dict[str, Floats] = dict(panel.known)
        if self.price is not None:
            usual = self.base if self.base is not None else _shifted(smoothed(self.price, 0.1))
            self.signals["discount"] = self.price - usual
        self.prefix = {name: Prefix.of(values) for name, values in self.signals.items()}
        self.price_prefix = None if self.price is None else Prefix.of(self.price)
        self.peers = {name: self._peers(values) for name, values in self.signals.items()}
        self.uplift = self._uplift()
        self.deviations = {name: _deviation(v) for name, v in self.signals.items()} if deviations is None else deviations
        self.like = self._standardised()

    def _peers(self, values: Floats) -> Matrix | None:
        """Mean of a signal over the other series of the shelf (else the store): a neighbour's promotion takes sales away."""
        group = self.by_name.get("shelf") or self.by_name.get("store")
        if group is None:
            return None
        known = ~np.isnan(values)
        total, number = (_grouped(part, group.member) for part in (np.where(known, values, 0.0), known.astype(np.float64)))
        return ratio(total[group.member] - np.where(known, values, 0.0), number[group.member] - known).astype(np.float32)

    def _uplift(self) -> Matrix:
        """[series, column]: demand over the level before it."""
        demand = self.panel.full()
        level = _shifted(smoothed(demand, ANALOG_SMOOTH))
        return np.where(level > 0, ratio(demand, level), np.nan).clip(0.0, MAX_UPLIFT).astype(np.float32)

    def _standardised(self) -> list[Matrix]:
        told = ((values, self.deviations.get(name, 0.0)) for name, values in self.signals.items())
        return [(values / deviation).astype(np.float32) for values, deviation in told if deviation > 0]

    def features(self, origin: int, horizon: int) -> Iterator[Named]:
        """The plan of the periods origin + 1 .. origin + horizon."""
        target = np.arange(origin + 1, origin + 1 + horizon)
        for name, values in self.signals.items():
            yield name, values[:, target]
            yield f"{name}_change", values[:, target] - self.prefix[name].mean(origin, self.rhythm.recent)[:, None]
            yield f"{name}_before", values[:, target - 1]
            after = np.minimum(target + 1, min(origin + horizon, values.shape[1] - 1))
            yield f"{name}_after", values[:, after]
            peers = self.peers[name]
            if peers is not None:
                yield f"{name}_peers", peers[:, target]
        if self.price is not None and self.price_prefix is not None:
            yield "price_change", self.price[:, target] - self.price_prefix.mean(origin, self.rhythm.recent)[:, None]
            yield "price_long_change", self.price[:, target] - self.price_prefix.mean(origin, self.rhythm.long)[:, None]
            yield "price_step", self.price[:, target] - self.price[:, target - 1]
        if self.like:
            yield from self._analogue(origin, target)

    def _analogue(self, origin: int, target: Ints) -> Iterator[Named]:
        past = slice(max(0, origin + 1 - ANALOG_PERIODS), origin + 1)
        uplift = self.uplift[:, past]
        known = ~np.isnan(uplift)
        value = np.where(known, uplift, np.float32(0.0))
        mean = np.empty((len(uplift), len(target)))
        weight = np.empty_like(mean)
        usual = ratio(value.sum(axis=1), known.sum(axis=1).astype(np.float64))
        for lead, column in enumerate(target):
            distance = np.zeros(value.shape, dtype=np.float32)
            for values in self.like:
                gap = np.nan_to_num(values[:, past] - values[:, column : column + 1])
                distance += gap * gap
            alike = np.exp(distance * np.float32(-0.5 / ANALOG_WIDTH**2)) * known
            weight[:, lead] = alike.sum(axis=1)
            mean[:, lead] = (alike * value).sum(axis=1)
        yield "analogue", (mean + ANALOG_PRIOR * usual[:, None]) / (weight + ANALOG_PRIOR)
        yield "analogue_weight", weight


def _deviation(values: Floats) -> float:
    return float(np.nanstd(values)) if np.isfinite(values).any() else 0.0


def _log(price: Floats) -> Floats:
    return np.log(np.where(price > 0, price, np.nan))


def _shifted(values: Floats) -> Floats:
    """Each column as it was one before."""
    return np.concatenate([np.full((len(values), 1), np.nan), values[:, :-1]], axis=1)


def _grouped(values: Floats, member: Ints) -> Floats:
    out = np.zeros((int(member.max()) + 1, values.shape[1]))
    np.add.at(out, member, values)
    return out
