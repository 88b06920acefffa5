"""Hands states made anew from the archive over to the worker: the events since the archive's end, sending, what became of it."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

from contracts import letters
from contracts.errors import DependencyUnavailable, InvalidEvent
from contracts.settings import Settings
from contracts.stream_states import group_fingerprint
from contracts.topics import Delivery, Topic, accept, partition_of
from streams import rebuilt
from streams.broker import end_offset, read_to_end
from streams.key_table import Key
from streams.producers.publish import Publisher
from streams.views import Kernel

POLL_SECONDS = 0.2


class Told(NamedTuple):
    """What one event that was read from Kafka says of one key."""

    key: Key
    part: Any


class Tail(NamedTuple):
    """The events of some keys that Kafka has beyond given offsets, and the offsets after the last message that was read."""

    told: list[Told]
    next_offsets: dict[int, int]


class Outcome(NamedTuple):
    """How many keys took their rebuilt state over, and which had moved on."""

    healed: int
    moved_on: list[Key]


def partition_of_key(topic: Topic, key: Key, settings: Settings) -> int:
    """The source partition of a key's events."""
    return partition_of(routing_key(topic, key), settings.topic_partitions)


def routing_key(topic: Topic, key: Key) -> str:
    """The message key under which a key's events are sent."""
    return key[0] if topic.key_field == "store_id" else key[1]


def tail(settings: Settings, kernel: Kernel, keys: Collection[Key], since: Mapping[int, int]) -> Tail:
    """What Kafka has of some keys from the given offsets on, by partition, to its end now. Raises DependencyUnavailable."""
    topic, told, next_offsets = kernel.topic, [], dict(since)
    for number in sorted({partition_of_key(topic, key, settings) for key in keys}):
        start = since.get(number, 0)
        for message in read_to_end(settings, topic.name(settings.topic_prefix), number, start):
            next_offsets[number] = (message.offset() or 0) + 1
            told += [Told(key, part) for key, part in _parts(settings, kernel, message) if key in keys]
    return Tail(told, next_offsets)


def hand_over(settings: Settings, kernel: Kernel, states: Iterable[tuple[Key, bytes]], timeout: float) -> Outcome:
    """Sends rebuilt states and waits for what the worker makes of each.

    Raises DependencyUnavailable where not all are answered after `timeout` seconds: the worker must run.
    """
    topic, prefix = kernel.topic, settings.topic_prefix
    answers_from = {number: end_offset(settings, topic.late(prefix), number) for number in range(settings.topic_partitions)}
    waiting, fingerprint = set(), group_fingerprint(settings)
    with Publisher(settings, client_id="rd360-rebuild") as publisher:
        for key, raw in states:
            publisher.send(topic.rebuilt(prefix), routing_key(topic, key).encode(), raw, rebuilt.headers(key, fingerprint))
            waiting.add(key)
    moved_on: list[Key] = []
    healed, deadline = 0, time.monotonic() + timeout
    while waiting:
        for number, offset, key, reason in _answers(settings, topic, answers_from):
            answers_from[number] = offset + 1
            if key in waiting and reason in ("healed", "moved_on"):
                waiting.discard(key)
                healed += reason == "healed"
                moved_on += [key] if reason == "moved_on" else []
        if not waiting:
            break
        if time.monotonic() > deadline:
            raise DependencyUnavailable(
                f"The stream worker has not taken over {len(waiting)} of the rebuilt states after {timeout:.0f} s",
                doing=f"rebuilding {kernel.view.name}",
                hint="Does it run? `./rd360 status`. It takes over what was sent as soon as it does.",
            )
        time.sleep(POLL_SECONDS)
    return Outcome(healed, moved_on)


def _parts(settings: Settings, kernel: Kernel, message: Any) -> Iterable[tuple[Key, Any]]:
    delivery = Delivery(message.key(), message.partition(), message.timestamp()[1], settings.topic_partitions)
    try:
        return kernel.split(accept(kernel.topic, message.value(), delivery, settings.max_event_lead_ms))
    except InvalidEvent:  # the worker has made it a dead letter, or will
        return ()


def _answers(settings: Settings, topic: Topic, since: Mapping[int, int]) -> Iterator[tuple[int, int, Key, str]]:
    """Each key of each letter on the late topic from given offsets on: the letter's partition and offset, the key, its reason."""
    for number, offset in dict(since).items():
        for message in read_to_end(settings, topic.late(settings.topic_prefix), number, offset):
            found = cast("dict[str, bytes]", dict(message.headers() or ()))
            reason = found[letters.REASON].decode()
            for store_id, product_id in json.loads(found[letters.LATE_KEYS]):
                yield number, message.offset() or 0, (store_id, product_id), reason
