"""Raw messages to checked rows, by the acceptance rule that the stream uses too. Pure Arrow: Spark maps it over bronze.

One output row is one silver row to be: a receipt line, a stock count or movement, an announced price, a target day of a served
forecast, or a refused message with its reason. Rows of all kinds share one wide schema; the columns of other kinds are null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from contracts.errors import InvalidEvent
from contracts.events import Event, ForecastServed, InventoryEvent, PriceEvent, Receipt
from contracts.topics import TOPICS, Delivery, Topic, accept

REFUSED = "refused"
RAW = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("kafka_time_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
    ]
)
# Every decoded row: where the message stood, what it is, how many lines it has.
_MESSAGE = [
    ("topic", pa.string()),
    ("partition", pa.int32()),
    ("offset", pa.int64()),
    ("type", pa.string()),
    ("lines", pa.int32()),
]
_EVENT = [
    ("event_id", pa.string()),
    ("event_time_ms", pa.int64()),
    ("store_id", pa.string()),
    ("product_id", pa.string()),
]
_OF_TYPE = {
    "sales": [
        ("line_number", pa.int32()),
        ("channel", pa.string()),
        ("quantity", pa.int64()),
        ("unit_price", pa.int64()),
        ("list_price", pa.int64()),
        ("promotion_id", pa.string()),
        ("category_id", pa.string()),
        ("sale_id", pa.string()),
        ("schema_version", pa.int32()),
    ],
    "inventory": [("kind", pa.string()), ("quantity", pa.int64())],
    "prices": [
        ("valid_from", pa.date32()),
        ("valid_to", pa.date32()),
        ("price", pa.int64()),
        ("list_price", pa.int64()),
        ("promotion_id", pa.string()),
    ],
    "forecasts": [
        ("as_of_ms", pa.int64()),
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("fallback", pa.string()),
        ("feature_age_seconds", pa.float64()),
        ("target_day", pa.date32()),
        ("mean", pa.float64()),
        ("quantiles", pa.map_(pa.string(), pa.float64())),
    ],
}
_REFUSAL = [
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("kafka_time_ms", pa.int64()),
    ("key", pa.binary()),
    ("raw", pa.binary()),
]
_COLUMNS = {kind: [*_MESSAGE, *_EVENT, *columns] for kind, columns in _OF_TYPE.items()} | {REFUSED: [*_MESSAGE, *_REFUSAL]}
DECODED = pa.schema(list(dict(column for columns in _COLUMNS.values() for column in columns).items()))


@dataclass(frozen=True, slots=True)
class Rule:
    """What the acceptance rule depends on besides the message: settings, as plain values that travel to the workers."""

    topic_prefix: str
    partitions: int
    max_lead_ms: int

    def topics(self) -> dict[str, Topic]:
        """Our topics by their name on the broker."""
        return {topic.name(self.topic_prefix): topic for topic in TOPICS}


def decode(batches: Iterable[pa.RecordBatch], rule: Rule) -> Iterator[pa.RecordBatch]:
    """Batches of RAW as batches of DECODED. Every message gives at least one row."""
    for batch in batches:
        yield from decode_batch(batch, rule)


def decode_batch(batch: pa.RecordBatch, rule: Rule) -> Iterator[pa.RecordBatch]:
    """The rows of one batch, one output batch per type of row."""
    topics = rule.topics()
    rows: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _COLUMNS}
    for name, partition, offset, kafka_time, key, value in zip(*(batch[at].to_pylist() for at in RAW.names), strict=True):
        delivery = Delivery(key, partition, kafka_time, rule.partitions)
        place = (name, partition, offset)
        try:
            event = accept(topics[name], value, delivery, rule.max_lead_ms)
        except InvalidEvent as refusal:
            rows[REFUSED].append((*place, REFUSED, 1, refusal.reason, refusal.detail, kafka_time, key, value))
        else:
            rows[topics[name].kind].extend(_rows(place, event))
    for kind, found in rows.items():
        if found:
            yield _batch(kind, found)


def _rows(place: tuple[str, int, int], event: Event) -> Iterator[tuple[Any, ...]]:
    if isinstance(event, Receipt):
        return _sales(place, event)
    if isinstance(event, InventoryEvent):
        return _inventory(place, event)
    if isinstance(event, PriceEvent):
        return _price(place, event)
    return _forecast(place, event)


def _sales(place: tuple[str, int, int], event: Receipt) -> Iterator[tuple[Any, ...]]:
    """A receipt's lines, each under the category that its product's sale counts in: the last by name of those named."""
    head = (*place, "sales", len(event.lines), event.event_id, event.event_time, event.store_id)
    categories: dict[str, str] = {}
    for line in event.lines:
        if line.category_id is not None:
            categories[line.product_id] = max(line.category_id, categories.get(line.product_id, ""))
    for number, line in enumerate(event.lines):
        yield (
            *head,
            line.product_id,
            number,
            event.channel,
            line.quantity,
            line.unit_price,
            line.list_price,
            line.promotion_id,
            categories.get(line.product_id),
            line.sale_id,
            event.schema_version,
        )


def _inventory(place: tuple[str, int, int], event: InventoryEvent) -> Iterator[tuple[Any, ...]]:
    identity = (event.event_id, event.event_time, event.store_id, event.product_id)
    yield (*place, "inventory", 1, *identity, event.kind, event.quantity)


def _price(place: tuple[str, int, int], event: PriceEvent) -> Iterator[tuple[Any, ...]]:
    identity = (event.event_id, event.event_time, event.store_id, event.product_id)
    validity = (event.valid_from, event.valid_to)
    yield (*place, "prices", 1, *identity, *validity, event.price, event.list_price, event.promotion_id)


def _forecast(place: tuple[str, int, int], event: ForecastServed) -> Iterator[tuple[Any, ...]]:
    identity = (event.event_id, event.event_time, event.store_id, event.product_id)
    answer = (event.as_of, event.model_name, event.model_version, event.fallback, event.feature_age_seconds)
    head = (*place, "forecasts", max(len(event.days), 1), *identity, *answer)
    if not event.days:  # an answer without days is still a message that must be found again
        yield (*head, None, None, None)
    for day in event.days:
        yield (*head, day.target_day, day.mean, list(day.quantiles.items()))


def _batch(kind: str, rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    columns = {name: values for (name, _), values in zip(_COLUMNS[kind], zip(*rows, strict=True), strict=True)}
    arrays = [
        pa.array(columns[column.name], column.type) if column.name in columns else pa.nulls(len(rows), column.type)
        for column in DECODED
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=DECODED)
