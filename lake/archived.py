"""The events that the archive has of some keys, as the contract's own objects: what states are made anew of."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts.events import Event, InventoryEvent, PriceEvent, Receipt, ReceiptLine
from contracts.settings import Settings
from contracts.topics import INVENTORY, SALES, Topic
from lake import progress, schemas
from lake.stock import SERIES

Key = tuple[str, str]  # store_id, product_id


def events(session: SparkSession, settings: Settings, topic: Topic, keys: Collection[Key]) -> Iterator[tuple[Key, Event]]:
    """Every event that silver has of each key, once, those of a key together. Of a receipt only the lines of that product."""
    asked = session.createDataFrame(sorted(keys), "store_id string, product_id string")
    table = session.table(schemas.SILVER_OF_KIND[topic.kind].name).where(sf.col("topic") == topic.name(settings.topic_prefix))
    found = table.join(sf.broadcast(asked), on=SERIES, how="left_semi").orderBy(*SERIES, "event_time_ms", "event_id")
    rows = (row for batch in found.toArrow().to_batches() for row in batch.to_pylist())
    for (store_id, product_id, event_id), same in itertools.groupby(rows, _identity):
        yield (store_id, product_id), _event(topic, event_id, list(same))


def next_offsets(session: SparkSession, settings: Settings, topic: Topic) -> dict[int, int]:
    """By partition, the first offset of a topic that silver has not seen."""
    name = topic.name(settings.topic_prefix)
    return {number: offset for (of, number), offset in progress.read(session, schemas.SILVER_PROGRESS).items() if of == name}


def _identity(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["store_id"], row["product_id"], row["event_id"]


def _event(topic: Topic, event_id: str, rows: list[dict[str, Any]]) -> Event:
    row = rows[0]
    if topic is SALES:
        lines = tuple(ReceiptLine(**{field: x[field] for field in ReceiptLine.__struct_fields__}) for x in rows)
        return Receipt(event_id, row["event_time_ms"], row["store_id"], row["channel"], lines)
    if topic is INVENTORY:
        return InventoryEvent(event_id, row["event_time_ms"], row["store_id"], row["product_id"], row["kind"], row["quantity"])
    return PriceEvent(
        event_id=event_id,
        event_time=row["event_time_ms"],
        product_id=row["product_id"],
        valid_from=row["valid_from"],
        price=row["price"],
        list_price=row["list_price"],
        store_id=row["store_id"],
        valid_to=row["valid_to"],
        promotion_id=row["promotion_id"],
    )
