"""Stores that pause, open and come back: gold and features made in steps are those made anew, whatever month the gap ends in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.events import InventoryEvent, Receipt, ReceiptLine, encode
from contracts.features import SALES_ROLLING
from contracts.settings import Settings
from contracts.topics import INVENTORY, SALES, partition_of
from lake import schemas
from lake.jobs import features, gold, silver
from tests.drills.lake_twins import OF_THE_MAKING
from tests.own_lake import add_to_bronze, own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]
BRONZE = "topic string, partition int, offset bigint, kafka_time_ms bigint, key binary, value binary"
COMPARED = (names.GOLD_DAILY, SALES_ROLLING.table)


def at(month: int, day: int) -> int:
    return int(dt.datetime(2025, month, day, 12, tzinfo=dt.UTC).timestamp() * 1000)


def sale(store: str, month: int, day: int) -> Receipt:
    return Receipt(f"{store}-{month}-{day}", at(month, day), store, "pos", (ReceiptLine("p-1", 2, 150),))


def count(store: str, month: int, day: int) -> InventoryEvent:
    return InventoryEvent(f"{store}-{month}-{day}", at(month, day), store, "p-1", "count", 40)


# `open` sells all the time, `pauses` from 10 January to 21 March not, `new` has stock weeks before its first sale
FIRST = [*(sale("open", 1, day) for day in (2, 9, 16)), sale("pauses", 1, 10)]
SECOND = [sale("open", 2, 20), count("new", 2, 25)]
THIRD = [sale("open", 3, 21), sale("pauses", 3, 21), sale("new", 3, 20)]


def test_a_store_that_comes_back_has_the_days_of_its_pause(settings: Settings, tmp_path: Path) -> None:
    tag = "pauses"
    own = settings.model_copy(update={"home": tmp_path, "topic_prefix": "pauses.", "time_zone": "UTC", "store_time_zones": {}})
    with own_lake(settings, tag) as session:
        schemas.create_if_missing(session)
        for number, events in enumerate((FIRST, SECOND, THIRD)):
            send(session, own, events, number)
            for job in (silver.run, gold.run, features.run):
                job(session, own)
        steps = {table: rows_of(session, table) for table in COMPARED}
        gold.run(session, own, full=True)
        features.run(session, own, full=True)

        assert {table: rows_of(session, table) for table in COMPARED} == steps
        days = session.table(names.GOLD_DAILY).where("store_id = 'pauses'").agg(sf.count("*")).collect()[0][0]
        assert days == (dt.date(2025, 3, 21) - dt.date(2025, 1, 10)).days + 1


def rows_of(session: SparkSession, table: str) -> list[Row]:
    session.catalog.refreshTable(table)
    rows = session.table(table)
    return sorted(rows.select(*(name for name in rows.columns if name not in OF_THE_MAKING)).collect(), key=repr)


def send(session: SparkSession, settings: Settings, events: list[Receipt | InventoryEvent], number: int) -> None:
    """To bronze, with offsets that follow one another in each send."""
    rows = []
    for place, event in enumerate(events):
        topic = SALES if isinstance(event, Receipt) else INVENTORY
        partition = partition_of(event.store_id, settings.topic_partitions)
        name = topic.name(settings.topic_prefix)
        rows.append((name, partition, 100 * number + place, event.event_time, event.store_id.encode(), encode(event)))
    add_to_bronze(session.createDataFrame(rows, BRONZE))
