"""Job: Kafka's messages to bronze, once or continuously."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from threading import Event
from typing import Any

from pyspark.sql import SparkSession

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from lake import brokers, bronze, losses, schemas, steps, topic_identity
from lake.database import sole_writer
from lake.progress import TopicPartition
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.spans import Span


def run(
    session: SparkSession, settings: Settings, *, available_now: bool = True, accept_loss: bool = False, lock_seconds: int = 60
) -> JobReport:
    """Reads what Kafka has now, or goes on until SIGINT or SIGTERM. `rows_in` and `rows_out` are messages.

    What Kafka dropped before it was read is written down and passed over where `accept_loss` says so. Raises DataGateError
    where it does not, and where a topic is not the one that was read; JobIsRunning when another bronze job does not end
    within `lock_seconds`; DependencyUnavailable where its lock is lost, and where it should go on and there is no topic yet.
    """
    watch = Stopwatch("bronze")
    topics = brokers.source_topics(settings)
    schemas.create_if_missing(session, (*schemas.BRONZE, *schemas.PROGRESS))
    with sole_writer(settings, "lake bronze", lock_seconds) as lock, spark_errors("reading Kafka to bronze"):
        kafka = brokers.offsets(settings, topics)
        if not kafka and not available_now:
            raise _no_topics(settings, topics)
        seen = bronze.seen_by_silver(session, topics)
        before = bronze.next_offsets(session, topics, seen)
        known, ids = topic_identity.read(session), brokers.topic_ids(settings, {topic for topic, _ in kafka})
        topic_identity.refuse_another(known, ids)
        topic_identity.refuse_shorter(kafka, {place: max(end, seen.get(place, 0)) for place, end in before.items()})
        met = {topic: topic_id for topic, topic_id in ids.items() if topic not in known}
        early = losses.before_us(kafka, met, before)
        if early:
            losses.record(session, early, watch.started_at)
        if met:
            topic_identity.record(session, met, watch.started_at)
        lost = losses.found(kafka, before, known)
        if lost and not accept_loss:
            losses.refuse(lost)
        if lost:
            losses.record(session, lost, watch.started_at)
            before |= {place: last + 1 for place, (_, last) in lost.items()}
        checkpoint = bronze.checkpoint_folder(settings)
        discarded = bronze.discard_stale_checkpoint(checkpoint, before)
        if any(before.get(place, first) != end for place, (first, end) in kafka.items()) or (kafka and not available_now):
            steps.begin(session, schemas.BRONZE_EVENTS.name)
            stream = bronze.messages(session, settings, bronze.starting_offsets(kafka, before))
            query = bronze.start_query(stream, checkpoint, available_now)
            bronze.finish(query, Event() if available_now else _set_by_signals(), lock.require)
        written = bronze.count_since(session, topics, before)
    return watch.report(
        written,
        written,
        read_again=sum(max(end - before[place], 0) for place, end in seen.items()),
        checkpoint_discarded=discarded,
        topics=sorted({topic for topic, _ in kafka}),
        lost=_named(lost),
        dropped_before_we_met=_named(early),
    )


def _no_topics(settings: Settings, topics: Iterable[str]) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"Kafka at {settings.kafka} has none of the topics {', '.join(sorted(topics))}",
        doing="reading Kafka to bronze until it is stopped",
        hint="`./rd360 produce` and the stream worker make them; RD360_TOPIC_PREFIX names others.",
    )


def _named(lost: Mapping[TopicPartition, Span]) -> list[dict[str, Any]]:
    return [{"topic": t, "partition": p, "first": first, "last": last} for (t, p), (first, last) in lost.items()]


def _set_by_signals() -> Event:
    """An event that SIGINT or SIGTERM sets."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
