"""One row per series × origin × lead: what is known at the origin of the series, its groups and the planned period.

Every level is divided by the series' own scale at the origin, so that one model serves fast and slow movers and any unit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

import numpy as np

from training.panels.block import Asked, Block
from training.panels.calendar import Rhythm, day_features
from training.panels.censored import demand_of
from training.panels.groups import Group, groups_of
from training.panels.history import Prefix, compact, mean_of, mean_over, parts_of, periods_since, ratio, smoothed
from training.panels.panel import Panel
from training.panels.plan import Plan
from training.rows import Flags, Floats, Ints, Matrix

ALPHAS = (0.05, 0.2, 0.5)
LAGS = 4
PHASES = 8  # repetitions of a short season that are looked back on
FLOOR = 0.1  # of the long-run level: a scale of nearly 0 would turn the first sale after a pause into an outlier
UNKNOWN = np.float32(-1e30)  # below all that is known: a matrix without gaps trains trees in two thirds of the time
PART_ROWS = 65_536  # that are made at a time: some 25 MB
Named = tuple[str, Floats | Matrix]


class FeatureMaker:
    """Everything about a panel that does not depend on the origin, computed once; causal, so that any origin may be asked.

    `deviations` are those of a model that was kept: see `Plan`.
    """

    def __init__(self, panel: Panel, deviations: Mapping[str, float] | None = None) -> None:
        self.panel = panel
        self.rhythm = Rhythm.of(panel.dataset.freq, panel.dataset.season_length)
        self.demand = demand_of(panel)
        self.level = Prefix.of(self.demand)
        self.square = Prefix.of(self.demand**2, self.level.known)
        sold = np.where(np.isnan(self.demand), np.nan, (self.demand > 0).astype(np.float64))
        self.sold = Prefix.of(sold, self.level.known)
        self.smooth = {alpha: compact(partial(smoothed, alpha=alpha), self.demand) for alpha in ALPHAS}
        self.since_sale = compact(periods_since, panel.units)
        self.since_known = compact(lambda demand: periods_since(~np.isnan(demand)), self.demand)
        known = ~np.isnan(panel.units)
        self.first = np.where(known.any(axis=1), known.argmax(axis=1), panel.periods)
        self.groups = groups_of(panel, self.demand)
        self.plan = Plan(panel, self.demand, self.groups, deviations)
        self.stock = None if panel.in_stock is None else Prefix.of(panel.in_stock)
        self.sales = None if panel.in_stock is None else Prefix.of(panel.units)  # only read beside the stock
        self._kept: dict[tuple[int, int, bytes], Block] = {}

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
        size = self._size(origin)
        usual = float(np.nanmedian(size)) if np.isfinite(size).any() else 1.0
        # no series is dwarfed by what is sold beside it in another unit, or once by mistake
        floor = np.minimum(FLOOR**2 * overall or 1.0, np.nan_to_num(size, nan=usual))
        scale: Floats = np.maximum(np.nan_to_num(level, nan=overall), floor)
        return scale

    def _size(self, origin: int) -> Floats:
        """[series], units: of a period with a sale; NaN where there was none."""
        total, _ = self.level.window(origin, origin + 1)
        sold, _ = self.sold.window(origin, origin + 1)
        size = ratio(total, sold)
        return np.where(size > 0, size, np.nan)

    def _group_level(self, origin: int) -> Floats:
        """Mean level of the product over stores, else of its category, else of the store."""
        level = np.full(self.panel.series, np.nan)
        by_name = {group.name: group for group in self.groups}
        for name in ("product", "shelf", "product_subcategory", "product_category", "store", "all"):
            if name in by_name:
                group = by_name[name]
                level = np.where(np.isnan(level), group.mean(origin, self.rhythm.recent), level)
        return level

    def parts(self, origin: int, horizon: int, series: Ints) -> Iterator[tuple[slice, Block]]:
        """All leads of those series, some of them at a time; the periods up to the horizon must be in the panel's plan.

        A single part is kept: trees of means and trees of quantiles ask for the same rows.
        """
        if len(series) * horizon > PART_ROWS:
            scale = self.scale(origin)
            for part in parts_of(len(series), max(1, PART_ROWS // horizon)):
                yield part, self.block(Asked.grid(origin, horizon, series[part]), scale)
            return
        key = (origin, horizon, series.tobytes())
        if key not in self._kept:
            self._kept[key] = self.block(Asked.grid(origin, horizon, series))
        yield slice(0, len(series)), self._kept[key]

    def block(self, asked: Asked, scale: Floats | None = None) -> Block:
        """The rows that are asked for, UNKNOWN where nothing is known; `scale` [series] is that of the origin, if it is there."""
        own = (self.scale(asked.origin) if scale is None else scale)[asked.series]
        names, columns = zip(*self._of_series(asked, own), strict=True)
        more_names, more = zip(*self._of_rows(asked, own[asked.of]), strict=True)
        of_series = np.stack([column.astype(np.float32) for column in columns], axis=1)
        of_rows = np.stack([column.astype(np.float32) for column in more], axis=1)
        x = np.concatenate([of_series[asked.of], of_rows], axis=1)
        x[np.isnan(x)] = UNKNOWN
        return Block((*names, *more_names), x, own[asked.of])

    def _of_series(self, asked: Asked, scale: Floats) -> Iterator[Named]:
        """[series] of each: what does not depend on the lead."""
        origin, series = asked.origin, asked.series
        yield "log_scale", np.log(scale)
        yield from self._levels(origin, series, scale)
        yield from self._intermittency(origin, series, scale)
        yield from self._standing(origin, series, scale)
        yield from self._stock(origin, series, scale)
        yield from self._growth(origin, series)

    def _of_rows(self, asked: Asked, scale: Floats) -> Iterator[Named]:
        """[row] of each: what depends on the planned period."""
        yield from self._calendar(asked)
        yield from self._seasonal(asked, scale)
        yield from self._last_year(asked, scale)
        yield from self.plan.features(asked)

    def _levels(self, origin: int, series: Ints, scale: Floats) -> Iterator[Named]:
        for length in self.rhythm.windows:
            yield f"mean_{length}", self.level.mean(origin, length, series) / scale
        for alpha, level in self.smooth.items():
            yield f"smooth_{alpha:g}", level[series, origin] / scale
        for back in range(LAGS):
            at = origin - back
            yield f"lag_{back + 1}", (self.demand[series, at] if at >= 0 else np.full(len(scale), np.nan)) / scale

    def _intermittency(self, origin: int, series: Ints, scale: Floats) -> Iterator[Named]:
        for length in (self.rhythm.recent, self.rhythm.long):
            mean, share = self.level.mean(origin, length, series), self.sold.mean(origin, length, series)
            variance = np.maximum(self.square.mean(origin, length, series) - mean**2, 0.0)
            yield f"deviation_{length}", np.sqrt(variance) / scale
            yield f"selling_share_{length}", share
            yield f"size_{length}", ratio(mean, share) / scale
        window = self.demand[series, max(0, origin + 1 - self.rhythm.recent) : origin + 1]
        empty = np.isnan(window).all(axis=1)
        yield f"max_{self.rhythm.recent}", np.where(empty, np.nan, np.nan_to_num(window, nan=-np.inf).max(axis=1)) / scale
        yield "periods_since_sale", np.log1p(self.since_sale[series, origin].astype(np.float64))
        yield "age", np.log1p(np.maximum(origin - self.first[series], -1) + 1.0)

    def _standing(self, origin: int, series: Ints, scale: Floats) -> Iterator[Named]:
        """Where the series stands within its groups, and where they are heading."""
        lengths = (self.rhythm.recent, self.rhythm.long, self.rhythm.windows[0])
        for group in self.groups:
            recent, long, short = (group.mean(origin, length, series) for length in lengths)
            if group.name != "all":
                yield f"{group.name}_level", ratio(recent, scale)
            yield f"{group.name}_trend", ratio(recent, long)
            yield f"{group.name}_short_trend", ratio(short, recent)

    def _stock(self, origin: int, series: Ints, scale: Floats) -> Iterator[Named]:
        if self.stock is None or self.sales is None:
            return
        for length in (self.rhythm.windows[0], self.rhythm.recent):
            sales, _ = self.sales.window(origin, length, series)
            stock, known = self.stock.window(origin, length, series)
            yield f"stock_share_{length}", ratio(stock, known)
            yield f"rate_in_stock_{length}", ratio(sales, stock) / scale
        yield "periods_since_full", np.log1p(self.since_known[series, origin].astype(np.float64))

    def _growth(self, origin: int, series: Ints) -> Iterator[Named]:
        """The level of now over that of a year ago, of the series and of its groups."""
        if not self._has_a_year():
            return
        then = origin - self.rhythm.year
        before = self.level.mean(then, self.rhythm.long, series)
        yield "year_growth", ratio(self.level.mean(origin, self.rhythm.long, series), before)
        for group in self.groups:
            now, before = (group.mean(column, self.rhythm.recent, series) for column in (origin, then))
            yield f"{group.name}_year_growth", ratio(now, before)

    def _calendar(self, asked: Asked) -> Iterator[Named]:
        yield "lead", asked.lead.astype(np.float64)
        days = [day_features(self.panel.date_of(asked.origin + 1 + step), self.rhythm.freq) for step in range(asked.horizon)]
        for name in days[0]:
            yield name, np.array([day[name] for day in days])[asked.lead - 1]

    def _seasonal(self, asked: Asked, scale: Floats) -> Iterator[Named]:
        """The same place in the short season (the weekday of days): own values, and how the groups do on it."""
        season = self.rhythm.season
        if not season:
            return
        latest = asked.target - season * -(-asked.lead // season)
        columns = latest[None, :] - season * np.arange(PHASES)[:, None]  # [repetition, row]
        own = np.where(columns >= 0, self.demand[asked.row_series, np.maximum(columns, 0)], np.nan)
        yield "phase_last", own[0] / scale
        yield "phase_mean_4", mean_over(own[:4], 0) / scale
        yield "phase_mean_8", mean_over(own, 0) / scale
        for group in self.groups:
            total, number = (part.sum(axis=0) for part in group.window(columns, 1, asked.row_series))
            level = group.mean(asked.origin, PHASES * season, asked.series)[asked.of]
            yield f"{group.name}_phase", ratio(ratio(total, number), level)

    def _last_year(self, asked: Asked, scale: Floats) -> Iterator[Named]:
        """The same periods a year ago: own values, and by how much the groups then rose over their level of then."""
        if not self._has_a_year():
            return
        near, row = 1 if self.rhythm.freq == "W" else 3, asked.row_series
        then = asked.origin - self.rhythm.year
        at = then + asked.lead
        yield "year_lag", np.where(at >= 0, self.demand[row, np.maximum(at, 0)], np.nan) / scale
        around = self.level.between(at - near, np.minimum(at + near, asked.origin), row)
        yield "year_mean", around / scale
        yield "year_rise", ratio(around, self.level.mean(then, self.rhythm.recent, asked.series)[asked.of])
        for group in self.groups:
            rises = [_rise(group, asked, self.rhythm.year * back, near, self.rhythm.recent) for back in (1, 2)]
            yield f"{group.name}_year_rise", mean_of(rises)

    def _has_a_year(self) -> bool:
        """Of the panel, not of the origin: all rows have the same columns."""
        return self.panel.periods > self.rhythm.year + self.rhythm.windows[0]


def _rise(group: Group, asked: Asked, back: int, near: int, recent: int) -> Floats:
    """[row]: the demand of the groups around the periods so far back, over the level before it."""
    at = asked.target - back
    around = group.demand.between(at - near + 1, at + near - 1, group.member[asked.row_series])
    return ratio(around, group.mean(asked.origin - back, recent, asked.series)[asked.of])
