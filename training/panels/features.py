"""One row per series × origin × lead: what is known at the origin of the series, its groups and the planned period.

Every level is divided by the series' own scale at the origin, so that one model serves fast and slow movers and any unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from contracts.errors import FingerprintMismatch
from training.panels.calendar import Rhythm, day_features
from training.panels.groups import Group, groups_of
from training.panels.history import Prefix, mean_of, periods_since, ratio, smoothed
from training.panels.panel import Panel
from training.panels.plan import Plan
from training.rows import Flags, Floats, Matrix

ALPHAS = (0.05, 0.2, 0.5)
LAGS = 4
PHASES = 8  # repetitions of a short season that are looked back on
FLOOR = 0.1  # of the long-run level: a scale of nearly 0 would turn the first sale after a pause into an outlier
Named = tuple[str, Floats | Matrix]


@dataclass(frozen=True, slots=True)
class Block:
    """The rows of one origin: `x` is [series, lead, feature], `scale` [series] in units."""

    names: tuple[str, ...]
    x: Matrix
    scale: Floats

    def where(self, members: Flags) -> Block:
        """The rows of some series."""
        return Block(self.names, self.x[members], self.scale[members])

    def of(self, names: tuple[str, ...]) -> Matrix:
        """The features of those names, in that order, [series, lead, feature]. Raises FingerprintMismatch where one lacks."""
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
        return self.x[:, :, [self.names.index(name) for name in names]]


class FeatureMaker:
    """Everything about a panel that does not depend on the origin, computed once; causal, so that any origin may be asked.

    `deviations` are those of a model that was kept: see `Plan`.
    """

    def __init__(self, panel: Panel, deviations: Mapping[str, float] | None = None) -> None:
        self.panel = panel
        self.rhythm = Rhythm.of(panel.dataset.freq, panel.dataset.season_length)
        self.demand = panel.full()
        self.level = Prefix.of(self.demand)
        known_before = self.level.known
        self.square = Prefix.of(self.demand**2, known_before)
        sold = np.where(np.isnan(self.demand), np.nan, (self.demand > 0).astype(np.float64))
        self.sold = Prefix.of(sold, known_before)
        self.smooth = {alpha: smoothed(self.demand, alpha) for alpha in ALPHAS}
        self.since_sale = periods_since(np.nan_to_num(panel.units))
        self.since_known = periods_since((~np.isnan(self.demand)).astype(np.float64))
        known = ~np.isnan(panel.units)
        self.first = np.where(known.any(axis=1), known.argmax(axis=1), panel.periods)
        self.groups = groups_of(panel, self.demand)
        self.plan = Plan(panel, self.groups, deviations)
        self.stock = None if panel.in_stock is None else Prefix.of(panel.in_stock)
        self.sales = None if panel.in_stock is None else Prefix.of(panel.units)  # only read beside the stock

    def closed(self, origin: int, horizon: int) -> Flags:
        """[series, lead]: the planned periods in which the store is known to be closed."""
        shut = self.panel.closed()
        if shut is None:
            return np.zeros((self.panel.series, horizon), dtype=np.bool_)
        found: Flags = shut[:, origin + 1 : origin + 1 + horizon]
        return found

    def scale(self, origin: int) -> Floats:
        """[series], units: the level of now, drawn towards the longer one, never near 0; of a new series, that of its groups."""
        recent, known = self.level.window(origin, self.rhythm.recent)
        long = self.level.mean(origin, self.rhythm.long)
        ever = self.level.mean(origin, origin + 1)
        prior = np.where(np.isnan(long), ever, long)
        weight = self.rhythm.recent / 4
        level = np.where(np.isnan(prior), np.nan, (recent + weight * np.nan_to_num(prior)) / (known + weight))
        level = np.where(np.isnan(level), self._group_level(origin), np.maximum(level, FLOOR * np.nan_to_num(ever)))
        overall = float(np.nanmean(np.abs(ever))) if np.isfinite(ever).any() else 1.0
        scale: Floats = np.maximum(np.nan_to_num(level, nan=overall), FLOOR**2 * overall or 1.0)
        return scale

    def _group_level(self, origin: int) -> Floats:
        """Mean level of the product over stores, else of its category, else of the store."""
        level = np.full(self.panel.series, np.nan)
        by_name = {group.name: group for group in self.groups}
        for name in ("product", "shelf", "product_subcategory", "product_category", "store", "all"):
            if name in by_name:
                group = by_name[name]
                found = group.spread(group.demand.mean(origin, self.rhythm.recent))
                level = np.where(np.isnan(level), found, level)
        return level

    def block(self, origin: int, horizon: int) -> Block:
        """All series at one origin; the periods up to `origin + horizon` must be in the panel's plan."""
        scale = self.scale(origin)
        names, columns = [], []
        shape = (self.panel.series, horizon)
        for name, values in self._features(origin, horizon, scale):
            names.append(name)
            columns.append(np.broadcast_to(values if values.ndim == 2 else values[:, None], shape).astype(np.float32))
        return Block(tuple(names), np.stack(columns, axis=2), scale)

    def _features(self, origin: int, horizon: int, scale: Floats) -> Iterator[Named]:
        yield "log_scale", np.log(scale)
        yield from self._levels(origin, scale)
        yield from self._intermittency(origin, scale)
        yield from self._standing(origin, scale)
        yield from self._stock(origin, scale)
        yield from self._calendar(origin, horizon)
        yield from self._seasonal(origin, horizon, scale)
        yield from self._last_year(origin, horizon, scale)
        yield from self.plan.features(origin, horizon)

    def _levels(self, origin: int, scale: Floats) -> Iterator[Named]:
        for length in self.rhythm.windows:
            yield f"mean_{length}", self.level.mean(origin, length) / scale
        for alpha, level in self.smooth.items():
            yield f"smooth_{alpha:g}", level[:, origin] / scale
        for back in range(LAGS):
            at = origin - back
            yield f"lag_{back + 1}", (self.demand[:, at] if at >= 0 else np.full(len(scale), np.nan)) / scale

    def _intermittency(self, origin: int, scale: Floats) -> Iterator[Named]:
        for length in (self.rhythm.recent, self.rhythm.long):
            mean, share = self.level.mean(origin, length), self.sold.mean(origin, length)
            variance = np.maximum(self.square.mean(origin, length) - mean**2, 0.0)
            yield f"deviation_{length}", np.sqrt(variance) / scale
            yield f"selling_share_{length}", share
            yield f"size_{length}", ratio(mean, share) / scale
        window = self.demand[:, max(0, origin + 1 - self.rhythm.recent) : origin + 1]
        empty = np.isnan(window).all(axis=1)
        yield f"max_{self.rhythm.recent}", np.where(empty, np.nan, np.nan_to_num(window, nan=-np.inf).max(axis=1)) / scale
        yield "periods_since_sale", np.log1p(self.since_sale[:, origin].astype(np.float64))
        yield "age", np.log1p(np.maximum(origin - self.first, -1) + 1.0)

    def _standing(self, origin: int, scale: Floats) -> Iterator[Named]:
        """Where the series stands within its groups, and where they are heading."""
        for group in self.groups:
            recent = group.spread(group.demand.mean(origin, self.rhythm.recent))
            long = group.spread(group.demand.mean(origin, self.rhythm.long))
            short = group.spread(group.demand.mean(origin, self.rhythm.windows[0]))
            if group.name != "all":
                yield f"{group.name}_level", ratio(recent, scale)
            yield f"{group.name}_trend", ratio(recent, long)
            yield f"{group.name}_short_trend", ratio(short, recent)

    def _stock(self, origin: int, scale: Floats) -> Iterator[Named]:
        if self.stock is None or self.sales is None:
            return
        for length in (self.rhythm.windows[0], self.rhythm.recent):
            sales, _ = self.sales.window(origin, length)
            stock, known = self.stock.window(origin, length)
            yield f"stock_share_{length}", ratio(stock, known)
            yield f"rate_in_stock_{length}", ratio(sales, stock) / scale
        yield "periods_since_full", np.log1p(self.since_known[:, origin].astype(np.float64))

    def _calendar(self, origin: int, horizon: int) -> Iterator[Named]:
        ahead = np.arange(1, horizon + 1)
        yield "lead", np.broadcast_to(ahead.astype(np.float64), (self.panel.series, horizon))
        days = [day_features(self.panel.date_of(origin + int(step)), self.rhythm.freq) for step in ahead]
        for name in days[0]:
            yield name, np.broadcast_to(np.array([day[name] for day in days]), (self.panel.series, horizon))

    def _seasonal(self, origin: int, horizon: int, scale: Floats) -> Iterator[Named]:
        """The same place in the short season (the weekday of days): own values, and how the groups do on it."""
        season = self.rhythm.season
        if not season:
            return
        own = self._phase(self.demand, origin, horizon)  # [repetition, series, lead]
        yield "phase_last", own[0] / scale[:, None]
        yield "phase_mean_4", mean_of(own[:4]) / scale[:, None]
        yield "phase_mean_8", mean_of(own) / scale[:, None]
        for group in self.groups:
            total = np.diff(group.demand.total, axis=1)
            number = np.diff(group.demand.known, axis=1)
            phases = (np.sum(self._phase(values, origin, horizon, 0.0), axis=0) for values in (total, number))
            phase = ratio(*phases)
            level = group.demand.mean(origin, PHASES * season)
            yield f"{group.name}_phase", group.spread(ratio(phase, level[:, None]))

    def _phase(self, values: Floats, origin: int, horizon: int, missing: float = np.nan) -> list[Floats]:
        season = self.rhythm.season
        ahead = np.arange(1, horizon + 1)
        latest = origin + ahead - season * -(-ahead // season)
        parts = []
        for back in range(PHASES):
            at = latest - back * season
            parts.append(np.where(at >= 0, values[:, np.maximum(at, 0)], missing))
        return parts

    def _last_year(self, origin: int, horizon: int, scale: Floats) -> Iterator[Named]:
        """The same periods a year ago: own values, and by how much the groups then rose over their level of then."""
        year, near = self.rhythm.year, 1 if self.rhythm.freq == "W" else 3
        if self.panel.periods <= year + self.rhythm.windows[0]:
            return  # by the panel, not by the origin: all rows have the same columns
        then = origin - year
        ahead = range(1, horizon + 1)
        yield "year_lag", np.stack([self._demand_at(then + step) for step in ahead], axis=1) / scale[:, None]
        around = np.stack([self.level.between(then + step - near, min(then + step + near, origin)) for step in ahead], axis=1)
        yield "year_mean", around / scale[:, None]
        yield "year_rise", ratio(around, self.level.mean(then, self.rhythm.recent)[:, None])
        yield "year_growth", ratio(self.level.mean(origin, self.rhythm.long), self.level.mean(then, self.rhythm.long))
        for group in self.groups:
            rises = [_rise(group, origin - year * back, horizon, near, self.rhythm.recent) for back in (1, 2)]
            yield f"{group.name}_year_rise", group.spread(mean_of(rises))
            now, before = (group.demand.mean(column, self.rhythm.recent) for column in (origin, then))
            yield f"{group.name}_year_growth", group.spread(ratio(now, before))

    def _demand_at(self, column: int) -> Floats:
        return self.demand[:, column] if column >= 0 else np.full(self.panel.series, np.nan)


def _rise(group: Group, then: int, horizon: int, near: int, recent: int) -> Floats:
    """[group, lead]: the demand around the periods after a column, over the level before it."""
    at = [group.demand.between(then + step - near + 1, then + step + near - 1) for step in range(1, horizon + 1)]
    return ratio(np.stack(at, axis=1), group.demand.mean(then, recent)[:, None])
