"""What goes wrong between a till and Kafka: events sent twice, events that arrive late, and bytes that break the contract."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from contracts.events import Receipt, encode
from contracts.topics import SALES, Topic
from contracts.windows import HOUR_MS
from streams.producers.simulate import Timed

Kind = Literal["event", "duplicate", "late", "malformed"]
MAX_DELAY_MS = 2 * HOUR_MS
MAX_REPEAT_MS = HOUR_MS // 2


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is sent at `at` ms. `event` is what it was made from."""

    at: int
    topic: Topic
    key: bytes | None
    value: bytes | None
    kind: Kind
    event: Any


@dataclass(frozen=True, slots=True)
class Rates:
    """The share of receipts that are sent twice, that claim an earlier time, and that a broken message follows."""

    duplicates: float = 0.0
    late: float = 0.0
    malformed: float = 0.0


def messages(events: Iterable[Timed], rates: Rates, rng: random.Random, repeat_ms: int = MAX_REPEAT_MS) -> Iterator[Message]:
    """The messages of events, in the order in which they are sent; a receipt is sent again at most `repeat_ms` later."""
    again: list[tuple[int, int, Message]] = []
    for number, timed in enumerate(events):
        while again and again[0][0] <= timed.at:
            yield heapq.heappop(again)[2]
        if timed.topic is not SALES:
            yield _message(timed.at, timed.topic, timed.event, "event")
            continue
        late = rng.random() < rates.late
        original: Any = timed.event
        receipt = _earlier(original, rng) if late else original
        yield _message(timed.at, SALES, receipt, "late" if late else "event")
        if rng.random() < rates.duplicates:
            at = timed.at + rng.randint(1, repeat_ms)
            heapq.heappush(again, (at, number, _message(at, SALES, receipt, "duplicate")))
        if rng.random() < rates.malformed:
            key, value = rng.choice(BREAKAGES)(original)
            yield Message(timed.at, SALES, key, value, "malformed", original)
    while again:
        yield heapq.heappop(again)[2]


def _message(at: int, topic: Topic, event: Any, kind: Kind) -> Message:
    return Message(at, topic, getattr(event, topic.key_field).encode(), encode(event), kind, event)


def _earlier(receipt: Receipt, rng: random.Random) -> Receipt:
    return msgspec.structs.replace(receipt, event_time=receipt.event_time - rng.randint(60_000, MAX_DELAY_MS))


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Receipt], tuple[bytes | None, bytes | None]]:
    def broken(receipt: Receipt) -> tuple[bytes | None, bytes | None]:
        event = json.loads(encode(receipt))
        event["event_id"] += "-broken"
        change(event)
        return receipt.store_id.encode(), json.dumps(event).encode()

    return broken


# One for each reason that a producer alone can cause; each is refused by contracts.topics.accept.
BREAKAGES: tuple[Callable[[Receipt], tuple[bytes | None, bytes | None]], ...] = (
    lambda receipt: (receipt.store_id.encode(), b""),
    lambda receipt: (receipt.store_id.encode(), encode(receipt)[:-9]),
    lambda receipt: (receipt.store_id.encode(), b"\xff\xfe" + encode(receipt)),
    lambda receipt: (b"till-1", encode(receipt)),
    lambda receipt: (None, encode(receipt)),
    _changed(lambda event: event.pop("store_id")),
    _changed(lambda event: event["lines"][0].update(quantity="two")),
    _changed(lambda event: event["lines"][0].update(quantity=0)),
    _changed(lambda event: event["lines"][0].update(unit_price=-1)),
    _changed(lambda event: event.update(lines=[])),
    _changed(lambda event: event.update(channel="fax")),
    _changed(lambda event: event.update(event_time=4_000_000_000_000)),
)
