"""A small retailer for the lake's tests: what is sent to Kafka, and what must become of each message."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from confluent_kafka import Producer

from contracts.events import ForecastDay, ForecastServed, InventoryEvent, PriceEvent, Receipt, ReceiptLine, encode
from contracts.settings import Settings
from contracts.topics import SALES, TOPICS, partition_of

LONDON, NEW_YORK = "s-london", "s-newyork"  # 31 March 2024 has 23 hours in London, 10 March in New York
ZONES = {LONDON: ZoneInfo("Europe/London"), NEW_YORK: ZoneInfo("America/New_York")}
PRODUCTS = ("p-apple", "p-bread", "p-candle")
LISTED_LATER = "p-dates"  # first sold on a line that was added to a receipt sent before
FIRST_DAY, DAYS = dt.date(2024, 3, 1), 40
HOUR_MS = 3_600_000
ANY_PARTITION = -1  # librdkafka's word for: as the partitioner says
ACCEPTED, DUPLICATE = "accepted", "duplicate"
_KINDS: tuple[Literal["count", "receipt", "adjustment", "transfer"], ...] = (
    "count",
    "count",
    "receipt",
    "adjustment",
    "transfer",
)
Event = Receipt | InventoryEvent | PriceEvent | ForecastServed


@dataclass(frozen=True, slots=True)
class Message:
    """One message and its fate: accepted, duplicate, or the reason why it is refused."""

    kind: str
    key: str | None
    value: bytes | None
    fate: str
    event: Event | None = None
    partition: int | None = None  # None: where the contract's partitioner puts the key
    extra_repeated: int = 0  # lines of an accepted message that repeat an event and are not in `event`

    @property
    def lines(self) -> int:
        """The lines it counts for."""
        return self.event_lines + self.extra_repeated

    @property
    def event_lines(self) -> int:
        """The lines of its event; one where it was refused."""
        if self.fate not in (ACCEPTED, DUPLICATE):
            return 1
        if isinstance(self.event, Receipt):
            return len(self.event.lines)
        return max(len(self.event.days), 1) if isinstance(self.event, ForecastServed) else 1

    @property
    def repeated_lines(self) -> int:
        """The lines that repeat an event."""
        return self.event_lines if self.fate == DUPLICATE else self.extra_repeated


@dataclass(slots=True)
class World:
    """Everything that was sent so far."""

    messages: list[Message] = field(default_factory=list)

    def events(self, kind: type) -> list[Any]:
        """The accepted events of one kind."""
        return [m.event for m in self.messages if m.fate == ACCEPTED and isinstance(m.event, kind)]

    def count(self, *fates: str) -> int:
        """How many messages had one of these fates."""
        return sum(message.fate in fates for message in self.messages)

    def refused(self) -> dict[str, int]:
        """Refused messages by kind of topic and reason."""
        found: dict[str, int] = {}
        for message in self.messages:
            if message.fate not in (ACCEPTED, DUPLICATE):
                name = f"{message.kind}:{message.fate}"
                found[name] = found.get(name, 0) + 1
        return found

    def send(self, settings: Settings, messages: Sequence[Message]) -> None:
        """Sends messages in order and waits until the broker has them."""
        producer = Producer({"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "enable.idempotence": True})
        names = {topic.kind: topic.name(settings.topic_prefix) for topic in TOPICS}
        failed: list[Any] = []
        for message in messages:
            producer.produce(
                names[message.kind],
                key=message.key,
                value=message.value,
                on_delivery=lambda error, _: failed.append(error) if error else None,
                partition=ANY_PARTITION if message.partition is None else message.partition,
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        assert not failed
        self.messages += messages


def accepted(event: Event) -> Message:
    """An event as its producer sends it."""
    kind, key = _route(event)
    return Message(kind, key, encode(event), ACCEPTED, event)


def repeated(event: Event) -> Message:
    """The same event once more."""
    kind, key = _route(event)
    return Message(kind, key, encode(event), DUPLICATE, event)


def history(seed: int = 7, first: dt.date = FIRST_DAY, days: int = DAYS, tag: str = "") -> list[Message]:
    """Days of receipts with returns, stock that runs out, and price plans that overlap."""
    rng = random.Random(seed)
    events: list[Event] = [] if tag else list(_plans())
    for store, zone in ZONES.items():
        for number in range(days):
            day = first + dt.timedelta(days=number)
            midnight = int(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000)
            hours = [rng.uniform(0.0, 23.9) for _ in range(rng.randrange(2, 7))]
            for at, hour in enumerate(hours):
                sold = rng.sample(PRODUCTS, rng.randrange(1, 4))
                name = f"r{tag}-{store}-{number}-{at}"
                of = f"r{tag}-{store}-{number - 1}-0" if number % 2 else None
                lines = tuple(_line(rng, product, of) for product in (*sold, *sold[:1]))
                channel: Literal["pos", "online"] = "pos" if at % 3 else "online"
                events.append(Receipt(name, midnight + int(hour * HOUR_MS), store, channel, lines))
            for product in PRODUCTS[:2]:
                if rng.random() < 0.7:
                    events.append(_stock(rng, f"i{tag}-{store}-{number}-{product}", midnight, store, product))
    return [accepted(event) for event in events]


def forecasts(seed: int = 7, first: dt.date = FIRST_DAY, days: int = DAYS) -> list[Message]:
    """Forecasts of every fourth day, made at some hour of it, of that day and of days after it, the last of which never come."""
    rng = random.Random(seed)
    found: list[Event] = []
    for number in range(2, days, 4):
        day = first + dt.timedelta(days=number)
        for store, zone in ZONES.items():
            midnight = int(dt.datetime.combine(day, dt.time(), zone).timestamp() * 1000)
            as_of = midnight + rng.randrange(22 * HOUR_MS)
            for product in PRODUCTS:
                coming = tuple(_forecast_day(rng, day + dt.timedelta(days=ahead)) for ahead in (0, 1, 6))
                name, fallback = f"f-{store}-{product}-{number}", rng.choice((None, "no_features"))
                model = ("naive", "0") if fallback else ("demand", str(number // 20))
                found.append(ForecastServed(name, as_of + 1, store, product, as_of, *model, fallback, None, coming))
    return [accepted(event) for event in found]


def faults(settings: Settings, sample: Receipt) -> list[Message]:
    """One of each thing that a producer can get wrong, and some that only look wrong. Send them after `sample`."""
    now = sample.event_time
    newer = msgspec.json.decode(encode(sample)) | {"event_id": "r-newer", "schema_version": 9, "loyalty": {"card": 1}}
    receipt = Receipt("r-newer", now, sample.store_id, sample.channel, sample.lines, 9)
    own = partition_of(sample.store_id, settings.topic_partitions)
    ahead = msgspec.structs.replace(sample, event_id="r-ahead", event_time=4_000_000_000_000)
    elsewhere = msgspec.structs.replace(sample, event_id="r-elsewhere")
    stray = encode(elsewhere)
    reversed_plan = PriceEvent("p-reversed", now, "p-apple", dt.date(2024, 3, 9), 1, 1, "*", dt.date(2024, 3, 2))
    day = ForecastDay(dt.date(2024, 4, 10), 2.5, {"0.5": 2.0, "0.9": 5.0})
    served = ForecastServed("f-1", now, LONDON, "p-apple", now, "demand", "1", None, 3.5, (day, day))
    new_line = ReceiptLine(LISTED_LATER, 3, 120, 120)
    widened = msgspec.structs.replace(sample, lines=(new_line, *sample.lines))
    only_new = msgspec.structs.replace(sample, lines=(new_line,))
    neighbour = NEW_YORK if sample.store_id == LONDON else LONDON
    return [
        Message("sales", sample.store_id, msgspec.json.encode(newer), ACCEPTED, receipt),
        Message("sales", sample.store_id, encode(widened), ACCEPTED, only_new, extra_repeated=len(sample.lines)),
        accepted(msgspec.structs.replace(sample, store_id=neighbour)),  # the same receipt number in another store
        accepted(served),
        accepted(msgspec.structs.replace(served, event_id="f-2", days=())),
        Message("sales", sample.store_id, None, "empty"),
        Message("sales", sample.store_id, b"{broken", "not_json"),
        Message("inventory", sample.store_id, b"\xff\xfe\x00", "not_json"),
        Message("inventory", sample.store_id, b'{"event_id": "i-short"}', "contract"),
        Message("prices", "p-apple", encode(reversed_plan), "validity"),
        Message("sales", "another-key", stray, "misrouted", partition=own),
        Message("sales", None, stray, "misrouted", partition=own),
        Message("sales", sample.store_id, stray, "misrouted", partition=(own + 1) % settings.topic_partitions),
        Message("sales", sample.store_id, encode(ahead), "event_time_ahead"),
        Message("sales", sample.store_id, stray.replace(b'"quantity":', b'"quantity":0,"was":', 1), "zero_quantity"),
    ]


def topic_names(settings: Settings) -> Iterable[str]:
    """The topics' names on the broker."""
    return [topic.name(settings.topic_prefix) for topic in TOPICS]


def _route(event: Event) -> tuple[str, str]:
    if isinstance(event, Receipt):
        return SALES.kind, event.store_id
    if isinstance(event, PriceEvent):
        return "prices", event.product_id
    return ("inventory" if isinstance(event, InventoryEvent) else "forecasts"), event.store_id


def _line(rng: random.Random, product: str, sale_id: str | None = None) -> ReceiptLine:
    quantity = rng.choice((1, 1, 2, 3, 12, -1))
    promotion = rng.choice((None, None, "spring"))
    return ReceiptLine(product, quantity, rng.randrange(1, 500), 500, promotion, sale_id=sale_id if quantity < 0 else None)


def _stock(rng: random.Random, name: str, midnight: int, store: str, product: str) -> InventoryEvent:
    kind = rng.choice(_KINDS)
    quantity = rng.choice((0, 0, 5)) if kind == "count" else rng.choice((-3, 4))
    return InventoryEvent(name, midnight + rng.randrange(20 * HOUR_MS), store, product, kind, quantity)


def _forecast_day(rng: random.Random, day: dt.date) -> ForecastDay:
    mean = rng.choice((0.0, 1.5, 4.0, 9.5))
    return ForecastDay(day, mean, rng.choice(({}, {"0.05": 0.0, "0.5": mean, "0.975": mean * 2})))


def _plans() -> Iterable[PriceEvent]:
    start = int(dt.datetime(2024, 2, 1, tzinfo=dt.UTC).timestamp() * 1000)
    march = dt.date(2024, 3, 1)
    yield PriceEvent("pl-1", start, "p-apple", dt.date(2024, 1, 1), 300, 300)
    yield PriceEvent("pl-2", start + 1, "p-apple", dt.date(2024, 3, 20), 320, 320)
    yield PriceEvent("pl-3", start, "p-apple", march.replace(day=10), 200, 300, "*", march.replace(day=25), "spring")
    yield PriceEvent("pl-4", start, "p-apple", march.replace(day=12), 210, 300, "*", march.replace(day=14), "flash")
    yield PriceEvent("pl-5", start, "p-apple", dt.date(2024, 1, 1), 310, 310, LONDON)
    yield PriceEvent("pl-6", start, "p-bread", march.replace(day=5), 90, 100, NEW_YORK, march.replace(day=5), "day")
    yield PriceEvent("pl-7", start + 5, "p-bread", march.replace(day=5), 80, 100, NEW_YORK, march.replace(day=6))
