"""In what order events arrive, and what goes wrong on the way: shuffled, sent twice, later than allowed. Pure."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from contracts.errors import UsageError
from contracts.events import Event, Receipt, encode
from contracts.topics import Topic, partition_of

Kind = Literal["event", "duplicate", "late"]
Key = tuple[str, str]  # store_id, product_id


@dataclass(frozen=True, slots=True)
class Faults:
    """How arrivals differ from events: each comes up to `shuffle_ms` after its own time, a share of them twice, and another
    share only after `lateness_ms`. No other event is late then: whatever arrived before it is not further than its arrival."""

    shuffle_ms: int
    duplicates: float
    late: float
    lateness_ms: int

    def __post_init__(self) -> None:
        if self.shuffle_ms > self.lateness_ms:
            raise UsageError(
                f"A shuffle over {self.shuffle_ms} ms makes events late by itself: {self.lateness_ms} ms are allowed",
                doing="planning the arrivals",
                hint="Take fewer --shuffle-hours, or allow more: RD360_ALLOWED_LATENESS_MS.",
            )


class Arrival(NamedTuple):
    """One message to be, and when it arrives, ms. The second of two equal ones is the duplicate."""

    at: int
    topic: Topic
    event: Event
    kind: Kind


class Sent(NamedTuple):
    """One message and where it stands: on a topic that was empty, each partition counts its offsets from 0."""

    topic: Topic
    partition: int
    offset: int
    key: bytes
    value: bytes
    event: Event
    kind: Kind


def arrivals(events: Iterable[tuple[Topic, Event]], faults: Faults, rng: random.Random) -> list[Arrival]:
    """The events and their repetitions in the order in which they arrive. A late one is not repeated."""
    planned: list[Arrival] = []
    for topic, event in events:
        if rng.random() < faults.late:
            at = event.event_time + faults.lateness_ms + 1 + _within(rng, faults.lateness_ms)
            planned.append(Arrival(at, topic, event, "late"))
            continue
        at = event.event_time + _within(rng, faults.shuffle_ms)
        if rng.random() < faults.duplicates:
            again = event.event_time + _within(rng, faults.shuffle_ms)
            planned.append(Arrival(max(at, again), topic, event, "duplicate"))
            at = min(at, again)
        planned.append(Arrival(at, topic, event, "event"))
    return sorted(planned, key=lambda one: (one.at, one.kind == "duplicate"))


def placed(planned: Iterable[Arrival], partitions: int) -> Iterator[Sent]:
    """The arrivals as messages on topics that were empty before."""
    following: dict[tuple[str, int], int] = defaultdict(int)
    for one in planned:
        key = str(getattr(one.event, one.topic.key_field))
        place = (one.topic.kind, partition_of(key, partitions))
        yield Sent(one.topic, place[1], following[place], key.encode(), encode(one.event), one.event, one.kind)
        following[place] += 1


def keys_of(event: Event) -> set[Key]:
    """The store × products that an event says something of."""
    if isinstance(event, Receipt):
        return {(event.store_id, line.product_id) for line in event.lines}
    return {(event.store_id, event.product_id)}


def lines_of(event: Event) -> int:
    """How many lines a receipt has; 1 for every other event."""
    return len(event.lines) if isinstance(event, Receipt) else 1


def _within(rng: random.Random, span_ms: int) -> int:
    return rng.randrange(span_ms) if span_ms else 0
