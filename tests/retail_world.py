"""A small retailer as tables: what gold and the feature views would hold, without a server. Seeded, any number of days.

A day has a mood that its hours share, so this morning's sales say something about this afternoon's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from contracts.errors import NotFoundError
from contracts.features import DEMAND_DAILY, PRICE_PLAN, SALES_ROLLING, features_of
from contracts.request_features import OPEN_ENDED, weekday
from contracts.tables import GOLD_DAILY
from contracts.windows import DAY_MS, EPOCH

HOUR_MS = 3_600_000
HOURS = (0, 10, 14, 18)
FIRST_DAY = 20_500  # 2026-02-16, a Monday
_PROFILE = np.array([0] * 8 + [2, 3, 4, 5, 7, 6, 5, 5, 6, 7, 5, 3, 1] + [0] * 3, dtype=float)
_WEEK = np.array([0.8, 0.8, 0.9, 1.0, 1.3, 1.6, 0.6])


@dataclass
class FakeOfflineStore:
    """The offline port on Arrow tables in memory; point-in-time joins are as-of joins, written a second time here."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    views: dict[str, pa.Table] = field(default_factory=dict)

    def point_in_time(self, questions: pa.Table, views: Sequence[str]) -> pa.Table:
        found = pl.from_arrow(questions).with_row_index("question")
        for view in views:
            rows = pl.from_arrow(self.views[view]).sort("as_of_ms")
            found = found.sort("as_of_ms").join_asof(rows, on="as_of_ms", by=["store_id", "product_id"], check_sortedness=False)
        return found.sort("question").drop("question").to_arrow()

    def read_table(self, name: str, columns: Sequence[str] | None = None, row_filter: str | None = None) -> pa.Table:
        if name not in self.tables:
            raise NotFoundError(f"There is no table {name}")
        kept = _filtered(self.tables[name], row_filter)
        return kept.select(list(columns)) if columns else kept

    def overwrite(self, name: str, table: pa.Table, row_filter: str | None = None) -> None:
        old = self.tables.get(name, table.slice(0, 0))
        kept = _filtered(old, f"NOT ({row_filter})") if row_filter else old.slice(0, 0)
        self.tables[name] = pa.concat_tables([kept, table])

    def append(self, name: str, table: pa.Table) -> None:
        self.tables[name] = pa.concat_tables([self.tables.get(name, table.slice(0, 0)), table])

    def close(self) -> None:
        pass


def make_world(stores: int = 2, products: int = 5, days: int = 90, seed: int = 7) -> FakeOfflineStore:
    """`days` complete UTC days of every store × product from FIRST_DAY on, and the day after them up to 18 o'clock."""
    random = np.random.default_rng(seed)
    plans = {f"p-{p}": _plans(random, days) for p in range(products)}
    parts = [_series(random, f"s-{s}", f"p-{p}", days, plans[f"p-{p}"]) for s in range(stores) for p in range(products)]
    views = {
        view: pa.Table.from_pylist([row for part in parts for row in part[view]], schema=schema_of(view))
        for view in (SALES_ROLLING.name, DEMAND_DAILY.name)
    }
    views[PRICE_PLAN.name] = _price_view(plans, days)
    gold = pa.Table.from_pylist([row for part in parts for row in part["gold"]], schema=_GOLD)
    return FakeOfflineStore({GOLD_DAILY: gold, SALES_ROLLING.table: views[SALES_ROLLING.name]}, views)


def schema_of(view: str) -> pa.Schema:
    """The keys, the as-of time and the features of a view of store × product."""
    types = {
        "int64": pa.int64(),
        "float64": pa.float64(),
        "string": pa.string(),
        "int64[]": pa.list_(pa.int64()),
        "float64[]": pa.list_(pa.float64()),
    }
    keys = [("store_id", pa.string()), ("product_id", pa.string()), ("as_of_ms", pa.int64())]
    return pa.schema([*keys, *((feature.name, types[feature.dtype]) for feature in features_of(view))])


_GOLD = pa.schema(
    [
        ("store_id", pa.string()),
        ("product_id", pa.string()),
        ("local_day", pa.date32()),
        ("demand", pa.float64()),
        ("price", pa.int64()),
        ("promoted", pa.bool_()),
        ("complete", pa.bool_()),
    ]
)


def _plans(random: np.random.Generator, days: int) -> dict[str, list[int]]:
    """An open-ended price and a promotion week every month or so, all announced from the start."""
    price = int(random.integers(100, 900))
    starts = np.arange(int(random.integers(5, 30)), days + 20, int(random.integers(25, 35)))
    return {
        "plan_from": [0, *(FIRST_DAY + int(s) for s in starts)],
        "plan_to": [OPEN_ENDED, *(FIRST_DAY + int(s) + 6 for s in starts)],
        "plan_price": [price, *(price * 3 // 4 for _ in starts)],
        "plan_list_price": [price] * (1 + len(starts)),
        "plan_promoted": [0, *(1 for _ in starts)],
    }


def _price_view(plans: dict[str, dict[str, list[int]]], days: int) -> pa.Table:
    rows = [
        {"store_id": "*", "product_id": product, "as_of_ms": (FIRST_DAY - 1) * DAY_MS, **plan} for product, plan in plans.items()
    ]
    return pa.Table.from_pylist(rows, schema=schema_of(PRICE_PLAN.name))


def _price_on(plan: dict[str, list[int]], day: int) -> tuple[int, bool]:
    at = max(at for at in range(len(plan["plan_from"])) if plan["plan_from"][at] <= day <= plan["plan_to"][at])
    return plan["plan_price"][at], bool(plan["plan_promoted"][at])


def _series(random: np.random.Generator, store: str, product: str, days: int, plan: dict[str, list[int]]) -> dict[str, Any]:
    level = float(random.choice([0.4, 2.0, 8.0, 25.0]) * random.uniform(0.7, 1.4))
    calendar = np.arange(FIRST_DAY, FIRST_DAY + days + 1)
    prices = np.array([_price_on(plan, int(day)) for day in calendar])
    week = np.array([_WEEK[weekday(int(day))] for day in calendar])
    mood = random.lognormal(0.0, 0.4, days + 1)
    rate = level * week * mood * np.where(prices[:, 1], 1.8, 1.0)
    hourly = random.poisson(rate[:, None] * _PROFILE / _PROFILE.sum())
    hourly[-1, 18:] = 0
    key = {"store_id": store, "product_id": product}
    demand = hourly.sum(axis=1).astype(float)
    return {
        "gold": [
            {
                **key,
                "local_day": EPOCH + dt.timedelta(days=int(day)),
                "demand": demand[at],
                "price": int(prices[at, 0]),
                "promoted": bool(prices[at, 1]),
                "complete": at < days,
            }
            for at, day in enumerate(calendar)
        ],
        SALES_ROLLING.name: [{**key, **_rolling(hourly, prices, at, hour)} for at in range(days + 1) for hour in HOURS],
        DEMAND_DAILY.name: [{**key, **_daily(demand, at)} for at in range(days + 1)],
    }


_RATIO_WINDOWS = ("1h", "24h", "7d", "28d")


def _rolling(hourly: np.ndarray, prices: np.ndarray, at: int, hour: int) -> dict[str, Any]:
    """Windows as of `hour` o'clock of the day `at`, at hour precision."""
    flat = hourly.ravel()
    now = at * 24 + hour
    worth = (hourly * prices[:, :1]).ravel()
    promoted = (hourly * prices[:, 1:]).ravel()
    span = {"1h": now - 1, "24h": now - 24, "today": at * 24, "7d": (at - 7) * 24, "28d": (at - 28) * 24}
    units = {name: int(flat[max(start, 0) : now].sum()) for name, start in span.items()}
    cents = {name: int(worth[max(start, 0) : now].sum()) for name, start in span.items()}
    sold = np.flatnonzero(flat[:now])
    return {
        "as_of_ms": FIRST_DAY * DAY_MS + now * HOUR_MS,
        **{f"units_{name}": value for name, value in units.items()},
        **{f"receipts_{name}": -(-value * 2 // 3) for name, value in units.items()},
        **{f"sales_{name}": value for name, value in cents.items()},
        **{f"returned_units_{name}": 0 for name in _RATIO_WINDOWS},
        **{f"promotion_share_{name}": _over(promoted[max(span[name], 0) : now].sum(), units[name]) for name in _RATIO_WINDOWS},
        **{f"mean_price_{name}": _over(cents[name], units[name]) for name in _RATIO_WINDOWS},
        **{f"units_per_receipt_{name}": 1.5 if units[name] else None for name in _RATIO_WINDOWS},
        "refunds_28d": 0,
        "units_same_hour_4w": int(sum(flat[now - back] for back in range(168, 673, 168) if now - back >= 0)),
        "last_price": int(prices[sold[-1] // 24, 0]) if len(sold) else None,
        "last_sale_ms": FIRST_DAY * DAY_MS + int(sold[-1]) * HOUR_MS if len(sold) else None,
    }


def _over(above: Any, below: int) -> float | None:
    return int(above) / below if below else None


def _daily(demand: np.ndarray, at: int) -> dict[str, Any]:
    past = demand[:at]
    of_weekday = [past[[d for d in range(max(at - 28, 0), at) if weekday(FIRST_DAY + d) == w]] for w in range(7)]

    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if len(values) else None

    return {
        "as_of_ms": (FIRST_DAY + at) * DAY_MS,
        "demand_lag_1d": float(past[-1]) if at >= 1 else None,
        "demand_lag_7d": float(past[-7]) if at >= 7 else None,
        "demand_lag_14d": float(past[-14]) if at >= 14 else None,
        "demand_mean_7d": mean(past[-7:]),
        "demand_mean_28d": mean(past[-28:]),
        "demand_mean_364d": mean(past[-364:]),
        "weekday_mean_4w": [mean(values) for values in of_weekday],
        "selling_share_28d": mean((past[-28:] > 0).astype(float)),
        "in_stock_share_28d": 1.0 if at else None,
        "days_on_sale": at,
    }


def _filtered(table: pa.Table, row_filter: str | None) -> pa.Table:
    if row_filter is None:
        return table
    return (
        pl.SQLContext(rows=pl.from_arrow(table))
        .execute(f"SELECT * FROM rows WHERE {row_filter}", eager=True)
        .to_arrow()
        .cast(table.schema)
    )
