"""The offline features are what a slow look at every event gives, as of any instant, in zones with and without clock changes."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from contracts.events import InventoryEvent
from contracts.features import CATEGORY_ROLLING, SALES_ROLLING, STORE_ROLLING, features_of
from contracts.request_features import OPEN_ENDED, Plan, live_plans, pack_plans
from contracts.settings import Settings
from contracts.windows import WINDOWS, calendar
from lake import daily_features, features, snapshot_grid
from tests.oracles.features import Line, sales_rolling
from tests.oracles.standing import on_hand

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
SPRING = int(dt.datetime(2026, 3, 29, 12, tzinfo=dt.UTC).timestamp() * 1000)  # the day on which London puts its clocks forward
ZONES = {"s-1": "Europe/London", "s-2": "America/New_York", "s-3": "Africa/Cairo", "s-4": "Asia/Kathmandu"}
SETTINGS = Settings(time_zone="Europe/London", store_time_zones=ZONES)
QUESTIONS = "store_id string, product_id string, as_of_ms bigint, head_ms bigint"


@pytest.fixture(scope="module")
def session(spark_alone: SparkSession) -> SparkSession:
    return spark_alone


def _lines(rng: random.Random, store: str) -> list[Line]:
    times = [SPRING + rng.randrange(-40 * DAY_MS, DAY_MS) for _ in range(300)]
    times += [SPRING - SPRING % HOUR_MS - hours * HOUR_MS + off for hours in range(40) for off in (-1, 0, 1)]  # tile edges
    lines = []
    for number, at in enumerate(times):
        for _ in range(rng.choice((1, 1, 2))):
            quantity, promoted = rng.choice((1, 2, 3, 7, -1)), rng.random() < 0.3
            product, price, category = rng.choice(("p-1", "p-2")), rng.randrange(50, 500), rng.choice(("bread", "cake", None))
            lines.append(Line(f"{store}-{number:04}", at, product, quantity, price, promoted, category))
    return lines


def _sales(session: SparkSession, lines: dict[str, list[Line]]) -> DataFrame:
    """Lines as silver has them, each under the category that its sale counts in."""
    rows = [
        (
            store,
            one.product,
            one.event_id,
            one.at,
            one.quantity,
            one.price,
            "promo" if one.promoted else None,
            _category(of_store, one),
        )
        for store, of_store in lines.items()
        for one in of_store
    ]
    return session.createDataFrame(
        rows,
        "store_id string, product_id string, event_id string, event_time_ms bigint, quantity bigint, unit_price bigint, "
        "promotion_id string, category_id string",
    )


def test_rolling_features_equal_a_look_at_every_event(session: SparkSession) -> None:
    rng = random.Random(7)
    lines = {store: _lines(rng, store) for store in ZONES}
    instants = [SPRING + rng.randrange(-12 * DAY_MS, DAY_MS) for _ in range(25)] + [SPRING - SPRING % HOUR_MS]
    asked = [(store, product, at, at) for store in ZONES for product in ("p-1", "p-2", "p-never") for at in instants]

    found = features.sales_rolling(session.createDataFrame(asked, QUESTIONS), _sales(session, lines), SETTINGS).collect()

    assert len(found) == len(set(asked))
    names = [feature.name for feature in features_of(SALES_ROLLING.name)]
    for row in found:
        mine = [line for line in lines[row["store_id"]] if line.product == row["product_id"]]
        expected = sales_rolling(mine, row["as_of_ms"], ZONES[row["store_id"]])
        assert {name: row[name] for name in names} == {name: expected[name] for name in names}, row


def test_the_features_of_a_store_equal_a_look_at_every_event_of_all_its_products(session: SparkSession) -> None:
    rng = random.Random(8)
    lines = {store: _lines(rng, store) for store in ZONES}
    asked = [(store, at, at) for store in ZONES for at in (SPRING + rng.randrange(-12 * DAY_MS, DAY_MS) for _ in range(25))]
    questions = session.createDataFrame(asked, "store_id string, as_of_ms bigint, head_ms bigint")

    found = features.store_rolling(questions, _sales(session, lines), SETTINGS).collect()

    assert len(found) == len(set(asked))
    names = [feature.name for feature in features_of(STORE_ROLLING.name)]
    for row in found:
        expected = sales_rolling(lines[row["store_id"]], row["as_of_ms"], ZONES[row["store_id"]])
        assert {name: row[name] for name in names} == {name: expected[name.removeprefix("store_")] for name in names}, row


def test_the_features_of_a_category_equal_a_look_at_every_event_that_was_sold_under_it(session: SparkSession) -> None:
    rng = random.Random(9)
    lines = {store: _lines(rng, store) for store in ZONES}
    sales = features.under_categories(_sales(session, lines))
    instants = [SPRING + rng.randrange(-12 * DAY_MS, DAY_MS) for _ in range(20)]
    asked = [(store, category, at, at) for store in ZONES for category in ("bread", "cake") for at in instants]
    questions = session.createDataFrame(asked, "store_id string, category_id string, as_of_ms bigint, head_ms bigint")

    found = features.category_rolling(questions, sales, SETTINGS).collect()

    assert len(found) == len(set(asked))
    names = [feature.name for feature in features_of(CATEGORY_ROLLING.name)]
    for row in found:
        mine = [one for one in lines[row["store_id"]] if _category(lines[row["store_id"]], one) == row["category_id"]]
        expected = sales_rolling(mine, row["as_of_ms"], ZONES[row["store_id"]])
        assert {name: row[name] for name in names} == {name: expected[name.removeprefix("category_")] for name in names}, row


def _category(lines: list[Line], line: Line) -> str | None:
    """The last by name of those that the receipt's lines of the product name."""
    same = [one for one in lines if (one.event_id, one.product) == (line.event_id, line.product)]
    return max((one.category for one in same if one.category), default=None)


def test_a_category_is_asked_for_from_its_first_sale_on(session: SparkSession) -> None:
    sales = _sales(session, {"s-1": [Line("a", 50, "p-1", 1, 100, False, "bread"), Line("b", 20, "p-1", 1, 100, False)]})
    of_stores = session.createDataFrame(
        [("s-1", 49, 49), ("s-1", 50, 50), ("s-2", 60, 60)], "store_id string, as_of_ms bigint, head_ms bigint"
    )

    asked = snapshot_grid.of_categories(of_stores, features.under_categories(sales)).collect()

    assert [tuple(row) for row in asked] == [("s-1", "bread", 50, 50)]


def test_an_event_beyond_the_as_of_time_counts_when_the_head_is_open(session: SparkSession) -> None:
    sales = _sales(session, {"s-1": [Line("a", SPRING, "p-1", 5, 100, False), Line("b", SPRING + 1, "p-1", 2, 100, False)]})
    asked = [("s-1", "p-1", SPRING, SPRING), ("s-1", "p-1", SPRING, features.END_OF_TIME_MS)]

    found = features.sales_rolling(session.createDataFrame(asked, QUESTIONS), sales, SETTINGS).collect()

    assert {row["head_ms"]: row["units_1h"] for row in found} == {SPRING: 5, features.END_OF_TIME_MS: 7}


@pytest.mark.parametrize("zone", ["Europe/London", "Africa/Cairo", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"])
def test_windows_begin_where_the_contract_says(session: SparkSession, zone: str) -> None:
    from pyspark.sql import functions as sf

    rng = random.Random(zone)
    instants = [rng.randrange(1_300_000_000_000, 1_800_000_000_000) for _ in range(400)]
    frame = session.createDataFrame([(at,) for at in instants], "at bigint")
    starts = {name: features.window_start_ms(window, sf.col("at"), sf.lit(zone)).alias(name) for name, window in WINDOWS.items()}

    for row in frame.select("at", *starts.values()).collect():
        assert {name: row[name] for name in WINDOWS} == {
            name: calendar(zone).window_start(window, row["at"]) for name, window in WINDOWS.items()
        }


def test_stock_is_the_latest_count_and_the_movements_since(session: SparkSession) -> None:
    events = [
        ("e1", 100, "receipt", 5),
        ("e2", 200, "count", 10),
        ("e3", 300, "transfer", -3),
        ("e4", 300, "receipt", 6),
        ("e5", 400, "count", 1),
    ]
    inventory = session.createDataFrame(
        [("s-1", "p-1", *event) for event in events],
        "store_id string, product_id string, event_id string, event_time_ms bigint, kind string, quantity bigint",
    )
    asked = session.createDataFrame([("s-1", "p-1", at, at) for at in (50, 150, 200, 299, 300, 399, 400, 900)], QUESTIONS)

    rows = features.stock(asked, inventory, SETTINGS).collect()
    found = {row["as_of_ms"]: (row["on_hand"], row["counted_ms"]) for row in rows}

    unknown, counted = (None, None), 200
    assert found == {
        50: unknown,
        150: unknown,
        200: (10, counted),
        299: (10, counted),
        300: (13, counted),
        399: (13, counted),
        400: (1, 400),
        900: (1, 400),
    }


def test_the_hours_without_stock_are_those_that_a_walk_through_the_events_finds(session: SparkSession) -> None:
    rng = random.Random(5)
    kinds = ("count", "receipt", "adjustment", "transfer")
    events = [
        InventoryEvent(
            f"i-{n}", SPRING + rng.randrange(-50 * DAY_MS, 20 * DAY_MS), "s-1", "p-1", rng.choice(kinds), rng.randint(-4, 4)
        )
        for n in range(200)
    ]
    inventory = session.createDataFrame(
        [("s-1", "p-1", e.event_id, e.event_time, e.kind, e.quantity) for e in events],
        "store_id string, product_id string, event_id string, event_time_ms bigint, kind string, quantity bigint",
    )
    instants = [SPRING + days * DAY_MS + 12_345_678 for days in range(-55, 30, 3)]
    asked = session.createDataFrame([("s-1", "p-1", at, at) for at in instants], QUESTIONS)

    found = features.stock(asked, inventory, SETTINGS).collect()

    assert len(found) == len(instants)
    of_store = calendar(ZONES["s-1"])
    for row in found:
        known = [event for event in events if event.event_time <= row["as_of_ms"]]
        expected = on_hand(known, row["as_of_ms"], of_store.window_start(WINDOWS["28d"], row["as_of_ms"]))
        assert {name: row[name] for name in expected} == expected


def test_price_plans_are_those_that_the_contract_keeps(session: SparkSession) -> None:
    rng = random.Random(3)
    today = SPRING // DAY_MS
    rows, plans = [], []
    for number in range(60):
        announced, start = SPRING - rng.randrange(40 * DAY_MS), today + rng.randrange(-40, 20)
        end = start + rng.randrange(0, 9) if rng.random() < 0.7 else None
        price, promoted = rng.randrange(50, 99), rng.random() < 0.5
        event_id = f"e-{number:02}"
        plans.append(Plan(end is not None, start, announced, event_id, OPEN_ENDED if end is None else end, price, 100, promoted))
        rows.append(("*", "p-1", event_id, announced, _date(start), _date(end), price, 100, "promo" if promoted else None))
    prices = session.createDataFrame(
        rows,
        "store_id string, product_id string, event_id string, event_time_ms bigint, valid_from date, valid_to date, "
        "price bigint, list_price bigint, promotion_id string",
    )
    instants = [SPRING - days * DAY_MS for days in range(0, 38, 5)]
    asked = session.createDataFrame([("*", "p-1", at, at) for at in instants], QUESTIONS)

    found = {row["as_of_ms"]: row.asDict() for row in features.price_plan(asked, prices).collect()}

    for at, row in found.items():
        expected = pack_plans(live_plans([plan for plan in plans if plan.announced_ms <= at], at))
        assert {name: row[name] for name in expected} == expected
    assert set(found) == {at for at in instants if any(plan.announced_ms <= at for plan in plans)}


def test_the_daily_view_knows_only_days_before_its_own(session: SparkSession) -> None:
    first = dt.date(2026, 3, 1)
    days = [(first + dt.timedelta(days=number), float(number)) for number in range(30)]
    daily = session.createDataFrame(
        [("s-1", "p-1", day, int(units), units, 0.5) for day, units in days],
        "store_id string, product_id string, local_day date, units bigint, demand double, in_stock double",
    )
    rows = {row["as_of_ms"]: row for row in daily_features.demand_daily(daily, SETTINGS).collect()}

    starts = {day: calendar("Europe/London").day_start((day - dt.date(1970, 1, 1)).days) for day, _ in days}
    assert set(rows) == set(starts.values())
    opening, last = rows[starts[first]], rows[starts[days[-1][0]]]
    assert (opening["demand_lag_1d"], opening["demand_mean_7d"], opening["days_on_sale"]) == (None, None, 0)
    assert (last["demand_lag_1d"], last["demand_lag_7d"], last["demand_lag_14d"]) == (28.0, 22.0, 15.0)
    assert last["demand_mean_7d"] == 25.0
    assert last["demand_mean_28d"] == sum(range(1, 29)) / 28
    mondays = [units for day, units in days[1:29] if day.weekday() == 0]
    assert last["weekday_mean_4w"][0] == sum(mondays) / len(mondays)
    assert (last["days_on_sale"], last["in_stock_share_28d"], last["selling_share_28d"]) == (29, 0.5, 1.0)


def test_snapshots_are_taken_at_local_hours_up_to_the_latest_event(session: SparkSession) -> None:
    daily = session.createDataFrame(
        [("s-1", "p-1", dt.date(2026, 3, 29)), ("s-2", "p-1", dt.date(2026, 3, 29))],
        "store_id string, product_id string, local_day date",
    )
    latest = int(dt.datetime(2026, 3, 29, 15, tzinfo=dt.UTC).timestamp() * 1000)

    grid = snapshot_grid.snapshots(daily, SETTINGS, latest)
    found: dict[str, list[Any]] = {}
    for row in grid.orderBy("as_of_ms").collect():
        found.setdefault(row["store_id"], []).append(dt.datetime.fromtimestamp(row["as_of_ms"] / 1000, dt.UTC).hour)

    assert found == {"s-1": [0, 9, 13], "s-2": [4, 14]}  # London is an hour ahead from 01:00 on, New York four behind
    for_all = snapshot_grid.with_all_stores(grid).where("store_id = '*'").count()
    assert for_all == 5


def _date(day: int | None) -> dt.date | None:
    return None if day is None else dt.date(1970, 1, 1) + dt.timedelta(days=day)
