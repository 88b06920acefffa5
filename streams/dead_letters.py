"""The dead letters as an operator meets them: found by topic and reason, shown whole, and sent again once they can be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contracts import letters
from contracts.clock import Clock, system_clock
from contracts.errors import InvalidEvent
from contracts.settings import Settings
from contracts.topics import SOURCES, Delivery, Topic, accept, partition_of
from streams.broker import connect, read_to_end
from streams.producers.lines_file import key_in
from streams.producers.publish import Publisher


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. `offset` is its own; `source_partition` and `source_offset` are the original's."""

    topic: Topic
    offset: int
    at: int
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    source_partition: int
    source_offset: int
    headers: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are looked for: those that meet all that is given.

    `since` and `until` are when a letter was set aside, ms (from, before). `key` is the message's key, `source` the original's
    partition and offset, `text` what its bytes contain.
    """

    topic: Topic | None = None
    reason: str | None = None
    offset: int | None = None
    source: tuple[int, int] | None = None
    key: bytes | None = None
    since: int | None = None
    until: int | None = None
    text: bytes | None = None

    def __contains__(self, letter: DeadLetter) -> bool:
        return (
            self.topic in (None, letter.topic)
            and self.reason in (None, letter.reason)
            and self.offset in (None, letter.offset)
            and self.source in (None, (letter.source_partition, letter.source_offset))
            and self.key in (None, letter.key)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
            and (self.text is None or self.text in (letter.value or b""))
        )


ANY = Wanted()


def find(settings: Settings, wanted: Wanted = ANY) -> Iterator[DeadLetter]:
    """The dead letters that are wanted, topic by topic, oldest first. Raises DependencyUnavailable."""
    known = connect(settings).list_topics(timeout=10).topics
    for source in SOURCES if wanted.topic is None else (wanted.topic,):
        name = source.dead_letters(settings.topic_prefix)
        for number in sorted(known[name].partitions) if name in known else ():
            letters_ = (_letter(source, message) for message in read_to_end(settings, name, number))
            yield from (letter for letter in letters_ if letter in wanted)


def can_be_read(settings: Settings, letter: DeadLetter, clock: Clock = system_clock) -> bytes | None:
    """The key under which a letter's event would be accepted now, None where it still breaks its contract."""
    key = key_in(letter.topic, letter.value or b"")
    if key is None:
        return None
    partitions = settings.topic_partitions
    delivery = Delivery(key, partition_of(key.decode(), partitions), clock(), partitions)
    try:
        accept(letter.topic, letter.value, delivery, settings.max_event_lead_ms)
    except InvalidEvent:
        return None
    return key


def replay(settings: Settings, found: Iterable[DeadLetter], *, dry_run: bool = False) -> dict[str, int]:
    """Sends again, bytes as they were, what the contract accepts now: {"sent": n, "still_refused": n}.

    A letter stays where it is; one that is sent twice counts once, as any event does.
    """
    ready = []
    refused = 0
    for letter in found:
        key = can_be_read(settings, letter)
        if key is None:
            refused += 1
        else:
            ready.append((letter, key))
    if ready and not dry_run:
        with Publisher(settings, client_id="rd360-dlq") as publisher:
            for letter, key in ready:
                publisher.send(letter.topic.name(settings.topic_prefix), key, letter.value)
    return {"sent": 0 if dry_run else len(ready), "would_send": len(ready), "still_refused": refused}


def _letter(topic: Topic, message: Any) -> DeadLetter:
    headers = tuple((name, value or b"") for name, value in message.headers() or ())
    last = dict(headers)  # ours come after the original's own
    return DeadLetter(
        topic=topic,
        offset=message.offset(),
        at=message.timestamp()[1],
        key=message.key(),
        value=message.value(),
        reason=last.get(letters.REASON, b"").decode(errors="replace"),
        detail=last.get(letters.MESSAGE, b"").decode(errors="replace"),
        source_partition=int(last.get(letters.PARTITION, b"-1")),
        source_offset=int(last.get(letters.OFFSET, b"-1")),
        headers=headers,
    )
