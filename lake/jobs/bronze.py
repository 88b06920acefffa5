"""Job: Kafka's messages to bronze, once or continuously."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from threading import Event
from typing import Any

from pyspark.sql import SparkSession

from contracts.clock import EpochMs
from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from lake import brokers, bronze, losses, schemas, steps, topic_identity
from lake.database import sole_writer
from lake.progress import TopicPartition
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.spans import Span

LOOK_SECONDS = 10.0  # between two looks at which topics there are, while a query goes on


@dataclass(frozen=True, slots=True)
class Part:
    """What one query, with what was asked before and after it, has done."""

    written: int
    read_again: int
    checkpoint_discarded: bool
    topics: frozenset[str]
    lost: list[dict[str, Any]]
    early: list[dict[str, Any]]


def run(
    session: SparkSession, settings: Settings, *, available_now: bool = True, accept_loss: bool = False, lock_seconds: int = 60
) -> JobReport:
    """Reads what Kafka has now, or goes on until SIGINT or SIGTERM, also with topics that come to be meanwhile. `rows_in` and
    `rows_out` are messages.

    What Kafka dropped before it was read is written down and passed over where `accept_loss` says so. Raises DataGateError
    where it does not, and where a topic is not the one that was read; JobIsRunning when another bronze job does not end
    within `lock_seconds`; DependencyUnavailable where its lock is lost, and where it should go on and there is no topic yet.
    """
    watch = Stopwatch("bronze")
    schemas.create_if_missing(session, (*schemas.BRONZE, *schemas.PROGRESS))
    until_stopped = nullcontext() if available_now else _set_by_signals()
    with (
        sole_writer(settings, "lake bronze", lock_seconds) as lock,
        spark_errors("reading Kafka to bronze"),
        until_stopped as stop,
    ):
        parts = [_read(session, settings, watch.started_at, lock.require, stop, accept_loss=accept_loss)]
        while stop is not None and not stop.is_set():  # there is another topic: a query reads those that it began with
            parts.append(_read(session, settings, watch.clock(), lock.require, stop, accept_loss=False))
    written = sum(part.written for part in parts)
    return watch.report(
        written,
        written,
        read_again=sum(part.read_again for part in parts),
        checkpoint_discarded=any(part.checkpoint_discarded for part in parts),
        topics=sorted(frozenset[str]().union(*(part.topics for part in parts))),
        lost=[one for part in parts for one in part.lost],
        dropped_before_we_met=[one for part in parts for one in part.early],
    )


def _read(
    session: SparkSession, settings: Settings, now: EpochMs, require: Callable[[], None], stop: Event | None, *, accept_loss: bool
) -> Part:
    """Reads from where bronze ends: without `stop` what there is now, else until it is set or Kafka has another topic of ours."""
    topics = brokers.source_topics(settings)
    kafka = brokers.offsets(settings, topics)
    if not kafka and stop is not None:
        raise _no_topics(settings, topics)
    seen = bronze.seen_by_silver(session, topics)
    before = bronze.next_offsets(session, topics, seen)
    known, ids = topic_identity.read(session), brokers.topic_ids(settings, {topic for topic, _ in kafka})
    topic_identity.refuse_another(known, ids)
    topic_identity.refuse_shorter(kafka, {place: max(end, seen.get(place, 0)) for place, end in before.items()})
    met = {topic: topic_id for topic, topic_id in ids.items() if topic not in known}
    early = losses.before_us(kafka, met, before)
    if early:
        losses.record(session, early, now)
    if met:
        topic_identity.record(session, met, now)
    lost = losses.found(kafka, before, known)
    if lost and not accept_loss:
        losses.refuse(lost)
    if lost:
        losses.record(session, lost, now)
        before |= {place: last + 1 for place, (_, last) in lost.items()}
    checkpoint = bronze.checkpoint_folder(settings)
    discarded = bronze.discard_stale_checkpoint(checkpoint, before)
    read = frozenset(topic for topic, _ in kafka)
    if any(before.get(place, first) != end for place, (first, end) in kafka.items()) or stop is not None:
        steps.begin(session, schemas.BRONZE_EVENTS.name)
        stream = bronze.messages(session, settings, bronze.starting_offsets(kafka, before))
        query = bronze.start_query(stream, checkpoint, available_now=stop is None)
        enough = _never if stop is None else _another(settings, topics, read)
        bronze.finish(query, stop or Event(), require, enough)
    return Part(
        written=bronze.count_since(session, topics, before),
        read_again=sum(max(end - before[place], 0) for place, end in seen.items()),
        checkpoint_discarded=discarded,
        topics=read,
        lost=_named(lost),
        early=_named(early),
    )


def _another(settings: Settings, topics: Iterable[str], read: Collection[str]) -> Callable[[], bool]:
    """Tells whether Kafka has one of the topics that is not read. It looks again after LOOK_SECONDS; no answer is no news."""
    last = time.monotonic()

    def there_is() -> bool:
        nonlocal last
        if time.monotonic() < last + LOOK_SECONDS:
            return False
        last = time.monotonic()
        with suppress(DependencyUnavailable):  # the query has its own patience with Kafka
            return not brokers.there(settings, topics) <= set(read)
        return False

    return there_is


def _no_topics(settings: Settings, topics: Iterable[str]) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"Kafka at {settings.kafka} has none of the topics {', '.join(sorted(topics))}",
        doing="reading Kafka to bronze until it is stopped",
        hint="`./rd360 produce` and the stream worker make them; RD360_TOPIC_PREFIX names others.",
    )


def _named(lost: Mapping[TopicPartition, Span]) -> list[dict[str, Any]]:
    return [{"topic": t, "partition": p, "first": first, "last": last} for (t, p), (first, last) in lost.items()]


@contextmanager
def _set_by_signals() -> Iterator[Event]:
    """An event that SIGINT or SIGTERM sets while the block runs."""
    stop = Event()
    before = {number: signal.signal(number, lambda _number, _frame: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _never() -> bool:
    return False
