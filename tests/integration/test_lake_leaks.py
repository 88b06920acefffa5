"""What happens after an instant changes no feature row as of that instant or before: training sees nothing that was not known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.events import InventoryEvent, PriceEvent, Receipt, encode
from contracts.settings import Settings
from contracts.topics import TOPICS, partition_of
from lake import features, gold, silver, snapshot_grid
from lake.daily_features import demand_daily
from lake.decode import RAW
from tests import lake_world
from tests.another_future import CUT_MS, another_future, the_past_and_its_future
from tests.lake_world import NEW_YORK, Event

SETTINGS = Settings(time_zone="Europe/London", store_time_zones={NEW_YORK: "America/New_York"})
KINDS = ("sales", "inventory", "prices")


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
    events = the_past_and_its_future()
    before, after = rows_of(spark_alone, events), rows_of(spark_alone, another_future(events))

    for view in before:
        known, planted = _split(before[view]), _split(after[view])
        assert known[True], view
        assert planted[True] == known[True], view
        assert planted[False] != known[False], view


def _split(rows: list[dict[str, Any]]) -> dict[bool, list[str]]:
    """Rows as text, in which a NaN is equal to another, by whether they are as of the cut or before it."""
    return {early: [repr(row) for row in rows if (row["as_of_ms"] <= CUT_MS) is early] for early in (True, False)}
