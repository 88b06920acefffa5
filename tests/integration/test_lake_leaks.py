"""What happens after an instant changes no feature row as of that instant or before: training sees nothing that was not known."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.events import InventoryEvent, PriceEvent, Receipt, ReceiptLine, encode
from contracts.settings import Settings
from contracts.topics import TOPICS, partition_of
from lake import features, gold, silver, snapshot_grid
from lake.daily_features import demand_daily
from lake.decode import RAW
from tests import lake_world
from tests.lake_world import LONDON, NEW_YORK, Event

SETTINGS = Settings(time_zone="Europe/London", store_time_zones={NEW_YORK: "America/New_York"})
CUT = dt.datetime(2024, 4, 1, 13, 30, tzinfo=dt.UTC)  # in the middle of a day, with ten days of history after it
CUT_MS = int(CUT.timestamp() * 1000)
KINDS = ("sales", "inventory", "prices")


def another_future(events: Iterable[Event]) -> list[Event]:
    """The same events up to the cut; after it other sales, a stock that is never there, and a price that nobody planned."""
    rng = random.Random(11)
    found: list[Event] = []
    for event in events:
        if event.event_time <= CUT_MS:
            found.append(event)
        elif isinstance(event, Receipt) and rng.random() < 0.7:
            line = ReceiptLine(
                rng.choice(lake_world.PRODUCTS), rng.randrange(50, 90), rng.randrange(1, 9), 9, "planted", "planted"
            )
            found.append(msgspec.structs.replace(event, lines=(line, *rng.sample(event.lines, 1))))
        elif isinstance(event, InventoryEvent):
            found.append(msgspec.structs.replace(event, kind="count", quantity=0))
    last = dt.date(2024, 12, 31)
    found += [
        PriceEvent(f"planted-{store}-{product}", CUT_MS + 1, product, CUT.date(), 1, 1, store, last, "planted")
        for store in (LONDON, NEW_YORK)
        for product in lake_world.PRODUCTS
    ]
    return found


def rows_of(session: SparkSession, events: Iterable[Event]) -> dict[str, list[dict[str, Any]]]:
    """All rows of all offline views, as the lake makes them of these events."""
    found = _silver(session, events)
    sales, inventory, prices = (found[kind] for kind in KINDS)
    latest_ms = sales.agg(sf.max("event_time_ms")).collect()[0][0]
    daily = gold.daily(sales, inventory, prices, SETTINGS, sf.lit(lake_world.FIRST_DAY), latest_ms).localCheckpoint()
    asked = snapshot_grid.snapshots(daily, SETTINGS, latest_ms)
    of_stores, in_categories = snapshot_grid.of_stores(asked), features.under_categories(sales)
    of_categories = snapshot_grid.of_categories(of_stores, in_categories)
    views = {
        "sales_rolling": features.sales_rolling(asked, sales, SETTINGS),
        "store_rolling": features.store_rolling(of_stores, sales, SETTINGS),
        "category_rolling": features.category_rolling(of_categories, in_categories, SETTINGS),
        "stock": features.stock(asked, inventory, SETTINGS),
        "price_plan": features.price_plan(snapshot_grid.with_all_stores(asked), prices),
        "demand_daily": demand_daily(daily, SETTINGS),
    }
    return {name: sorted((row.asDict() for row in rows.collect()), key=repr) for name, rows in views.items()}


def _silver(session: SparkSession, events: Iterable[Event]) -> dict[str, DataFrame]:
    by_type = {Receipt: "sales", InventoryEvent: "inventory", PriceEvent: "prices"}
    topics = {topic.kind: topic for topic in TOPICS}
    messages = []
    for offset, event in enumerate(events):
        topic = topics[by_type[type(event)]]
        key = str(getattr(event, topic.key_field))
        place = {"topic": topic.name(), "partition": partition_of(key, SETTINGS.topic_partitions), "offset": offset}
        messages.append({**place, "kafka_time_ms": 2 * CUT_MS, "key": key.encode(), "value": encode(event)})
    raw = session.createDataFrame(pa.Table.from_pylist(messages, schema=RAW))
    nothing = session.createDataFrame([], ", ".join(f"{name} string" for name in silver.IDENTITY))
    fates = silver.marked(silver.decoded(raw, silver.rule_of(SETTINGS)), nothing).localCheckpoint()
    return {kind: silver.silver_rows(fates, kind, SETTINGS).localCheckpoint() for kind in KINDS}


def test_no_row_up_to_an_instant_changes_with_what_happens_after_it(spark_alone: SparkSession) -> None:
    events = [_in_a_category(message.event) for message in lake_world.history() if message.event is not None]
    events.sort(key=lambda event: event.event_time)
    before, after = rows_of(spark_alone, events), rows_of(spark_alone, another_future(events))

    for view in before:
        known, planted = _split(before[view]), _split(after[view])
        assert known[True], view
        assert planted[True] == known[True], view
        assert planted[False] != known[False], view


def _split(rows: list[dict[str, Any]]) -> dict[bool, list[str]]:
    """Rows as text, in which a NaN is equal to another, by whether they are as of the cut or before it."""
    return {early: [repr(row) for row in rows if (row["as_of_ms"] <= CUT_MS) is early] for early in (True, False)}


def _in_a_category(event: Event) -> Event:
    if not isinstance(event, Receipt):
        return event
    lines = tuple(msgspec.structs.replace(line, category_id=line.product_id[-3:]) for line in event.lines)
    return msgspec.structs.replace(event, lines=lines)
