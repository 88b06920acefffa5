"""One decoder per topic: raw bytes in, a typed event out, or InvalidEvent with a reason. The stream and the lake share it.

Times are integer milliseconds since the epoch, UTC. Money is integer cents. Quantities are integers in the product's base
unit (pieces, or grams where it is weighed). Unknown fields are ignored here and kept in bronze.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from contracts.errors import InvalidEvent
from contracts.windows import DAY_MS, EPOCH

MAX_EVENT_BYTES = 1_000_000  # Kafka's own default message limit is 1 MiB; nothing legitimate comes near it
MAX_LINES = 10_000
EARLIEST_EVENT_MS = 946_684_800_000  # 2000-01-01: an earlier time is a broken clock, not a sale
LATEST_EVENT_MS = 4_102_444_800_000  # 2100-01-01
MAX_ID_LENGTH = 128  # characters
MAX_CENTS = 1_000_000_000
MAX_QUANTITY = 1_000_000_000
MAX_RECEIPT_CENTS = 1_000_000_000_000  # of all lines, returned ones too: nine million such receipts fit a sum of 64 bits
MAX_TARGET_DAYS = 400  # between a forecast's as-of time and its target days
MAX_SCHEMA_VERSION = 1_000_000
SCHEMA_VERSION = 3  # 2: `category_id` on the lines of a receipt; 3: `sale_id` beside it

Reason = Literal[
    "empty",  # a null or zero-length value
    "too_large",
    "not_json",
    "contract",  # JSON, but a field is missing, of a wrong type or out of range
    "zero_quantity",
    "validity",  # a plan that ends before it starts
    "event_time_ahead",  # the event claims a time further ahead of Kafka's clock than allowed
    "misrouted",  # the message key is not the contract's key, or a foreign partitioner put it on another partition
]

Identifier = Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00-\x1f\x7f]+$")]
EventTime = Annotated[int, Meta(ge=EARLIEST_EVENT_MS, lt=LATEST_EVENT_MS, description="milliseconds since the epoch, UTC")]
Cents = Annotated[int, Meta(ge=0, le=MAX_CENTS, description="integer cents per base unit")]
Quantity = Annotated[
    int,
    Meta(ge=-MAX_QUANTITY, le=MAX_QUANTITY, description="integer, in the product's base unit; negative is a return"),
]
Version = Annotated[int, Meta(ge=1, le=MAX_SCHEMA_VERSION)]


class ReceiptLine(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One product on a receipt. `category_id` is what it was sold under: there the sale counts for ever. `sale_id` is the
    `event_id` of the receipt whose goods a returned line gives back, or whose mistake it corrects.
    """

    product_id: Identifier
    quantity: Quantity
    unit_price: Cents
    list_price: Cents | None = None
    promotion_id: Identifier | None = None
    category_id: Identifier | None = None
    sale_id: Identifier | None = None


class Receipt(msgspec.Struct, frozen=True):
    """One receipt: a till ticket, an online order or a return. Kafka key: `store_id`."""

    event_id: Identifier
    event_time: EventTime
    store_id: Identifier
    channel: Literal["pos", "online"]
    lines: Annotated[tuple[ReceiptLine, ...], Meta(min_length=1, max_length=MAX_LINES)]
    schema_version: Version = SCHEMA_VERSION


class InventoryEvent(msgspec.Struct, frozen=True, gc=False):
    """One stock count or movement of a store × product. Kafka key: `store_id`.

    `count` sets the units on hand; `receipt`, `adjustment` and `transfer` change them by a signed quantity.
    """

    event_id: Identifier
    event_time: EventTime
    store_id: Identifier
    product_id: Identifier
    kind: Literal["count", "receipt", "adjustment", "transfer"]
    quantity: Quantity
    schema_version: Version = SCHEMA_VERSION


class PriceEvent(msgspec.Struct, frozen=True):
    """One announced price of a product in a store, or in all stores (`store_id` "*"). Kafka key: `product_id`.

    Valid on the store-local days from `valid_from` to `valid_to`, both included; open-ended where `valid_to` is null.
    """

    event_id: Identifier
    event_time: EventTime
    product_id: Identifier
    valid_from: dt.date
    price: Cents
    list_price: Cents
    store_id: Identifier = "*"
    valid_to: dt.date | None = None
    promotion_id: Identifier | None = None
    schema_version: Version = SCHEMA_VERSION


class ForecastDay(msgspec.Struct, frozen=True):
    """The forecast of one target day."""

    target_day: dt.date
    mean: float
    quantiles: dict[str, float]


class ForecastServed(msgspec.Struct, frozen=True):
    """One forecast as it was answered for a store × product. Kafka key: `store_id`."""

    event_id: Identifier
    event_time: EventTime
    store_id: Identifier
    product_id: Identifier
    as_of: EventTime
    model_name: Identifier
    model_version: Identifier
    fallback: Identifier | None
    feature_age_seconds: float | None  # null: the store × product had no features
    days: Annotated[tuple[ForecastDay, ...], Meta(max_length=MAX_TARGET_DAYS)]
    schema_version: Version = SCHEMA_VERSION


T = TypeVar("T")
Event = Receipt | InventoryEvent | PriceEvent | ForecastServed

_RECEIPTS = msgspec.json.Decoder(Receipt)
_INVENTORY = msgspec.json.Decoder(InventoryEvent)
_PRICES = msgspec.json.Decoder(PriceEvent)
_FORECASTS = msgspec.json.Decoder(ForecastServed)


def decode_receipt(raw: bytes | None) -> Receipt:
    """The receipt in `raw`. Raises InvalidEvent."""
    receipt = _decode(_RECEIPTS, raw)
    cents = 0
    for number, line in enumerate(receipt.lines):
        if line.quantity == 0:
            raise InvalidEvent("zero_quantity", f"$.lines[{number}].quantity is 0: a line sells or returns something")
        cents += abs(line.quantity) * line.unit_price
    if cents > MAX_RECEIPT_CENTS:
        raise InvalidEvent("contract", f"$.lines are worth {cents} cents, {MAX_RECEIPT_CENTS} allowed")
    return receipt


def decode_inventory(raw: bytes | None) -> InventoryEvent:
    """The stock count or movement in `raw`. Raises InvalidEvent."""
    return _decode(_INVENTORY, raw)


def decode_price(raw: bytes | None) -> PriceEvent:
    """The price announcement in `raw`. Raises InvalidEvent."""
    event = _decode(_PRICES, raw)
    if event.valid_to is not None and event.valid_to < event.valid_from:
        raise InvalidEvent("validity", f"$.valid_to {event.valid_to} lies before $.valid_from {event.valid_from}")
    return event


def decode_forecast(raw: bytes | None) -> ForecastServed:
    """The served forecast in `raw`. Raises InvalidEvent."""
    event = _decode(_FORECASTS, raw)
    as_of_day = event.as_of // DAY_MS
    for number, day in enumerate(event.days):
        ahead = (day.target_day - EPOCH).days - as_of_day
        if abs(ahead) > MAX_TARGET_DAYS:
            raise InvalidEvent("contract", f"$.days[{number}].target_day lies {ahead} days after $.as_of")
    return event


def encode(event: Event) -> bytes:
    """Canonical JSON of an event, as our own producers write it."""
    return msgspec.json.encode(event)


def check_lead(event_time: int, kafka_time: int, max_lead_ms: int) -> None:
    """Raises InvalidEvent where an event lies too far ahead of the broker's clock (both in ms): it would age every window."""
    if event_time > kafka_time + max_lead_ms:
        raise InvalidEvent(
            "event_time_ahead",
            f"event_time is {event_time - kafka_time} ms ahead of Kafka's clock, {max_lead_ms} allowed",
        )


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes | None) -> T:
    if not raw:
        raise InvalidEvent("empty", "the message has no value")
    if len(raw) > MAX_EVENT_BYTES:
        raise InvalidEvent("too_large", f"{len(raw)} bytes, {MAX_EVENT_BYTES} allowed")
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise InvalidEvent("contract", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidEvent("not_json", str(error)) from error
