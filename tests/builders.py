"""Events for tests: valid by default, every field open to change."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from contracts.events import Event, InventoryEvent, PriceEvent, Receipt, ReceiptLine, encode
from contracts.topics import SALES, Topic, partition_of
from streams.processor import Incoming

NOON = 1_750_000_000_000 // 86_400_000 * 86_400_000 + 43_200_000  # 2025-06-15 12:00 UTC
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PARTITIONS = 4


def line(product_id: str = "p-1", quantity: int = 1, unit_price: int = 250, **more: Any) -> ReceiptLine:
    """A receipt line."""
    return ReceiptLine(product_id=product_id, quantity=quantity, unit_price=unit_price, **more)


def receipt(event_id: str = "r-1", event_time: int = NOON, *lines: ReceiptLine, store_id: str = "s-1", **more: Any) -> Receipt:
    """A receipt, of one line unless lines are given."""
    return Receipt(event_id, event_time, store_id, more.pop("channel", "pos"), lines or (line(),), **more)


def stock(
    event_id: str = "i-1",
    event_time: int = NOON,
    kind: Literal["count", "receipt", "adjustment", "transfer"] = "count",
    quantity: int = 10,
    store_id: str = "s-1",
    product_id: str = "p-1",
) -> InventoryEvent:
    """A stock count or movement."""
    return InventoryEvent(event_id, event_time, store_id, product_id, kind, quantity)


def price(event_id: str = "a-1", event_time: int = NOON, price: int = 200, **more: Any) -> PriceEvent:
    """A price announcement: open-ended and for all stores unless more is said."""
    defaults: dict[str, Any] = {"product_id": "p-1", "valid_from": dt.date(2025, 6, 1), "list_price": 250}
    return PriceEvent(event_id=event_id, event_time=event_time, price=price, **(defaults | more))


def incoming(event: Event, offset: int = 0, topic: Topic = SALES, **more: Any) -> Incoming:
    """An event as it is read from Kafka: under its contract's key, on that key's partition, written when it happened."""
    key: str = getattr(event, topic.key_field)
    fields: dict[str, Any] = {
        "topic": topic.kind,
        "partition": partition_of(key, PARTITIONS),
        "offset": offset,
        "kafka_time": event.event_time,
        "key": key.encode(),
        "value": encode(event),
    }
    return Incoming(**(fields | more))
