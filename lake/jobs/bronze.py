"""Job: Kafka's messages to bronze, once or continuously."""

from __future__ import annotations

import signal
from threading import Event

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import brokers, bronze, schemas
from lake.database import sole_writer
from lake.report import JobReport, Stopwatch


def run(session: SparkSession, settings: Settings, *, available_now: bool = True, lock_seconds: int = 60) -> JobReport:
    """Reads what Kafka has now, or goes on until SIGINT or SIGTERM. `rows_in` and `rows_out` are messages.

    Raises JobIsRunning when another bronze job does not end within `lock_seconds`.
    """
    watch = Stopwatch("bronze")
    topics = brokers.source_topics(settings)
    kafka = brokers.offsets(settings, topics)
    schemas.create_if_missing(session, (schemas.BRONZE_EVENTS, *schemas.PROGRESS))
    with sole_writer(settings, "lake bronze", lock_seconds):
        before = bronze.next_offsets(session, topics)
        checkpoint = bronze.checkpoint_folder(settings)
        discarded = bronze.discard_stale_checkpoint(checkpoint, before)
        if any(before.get(place, first) != end for place, (first, end) in kafka.items()) or (kafka and not available_now):
            stream = bronze.messages(session, settings, bronze.starting_offsets(kafka, before))
            query = bronze.start_query(stream, checkpoint, available_now)
            bronze.finish(query, Event() if available_now else _set_by_signals())
        after = bronze.next_offsets(session, topics)
    written = sum(end - before.get(place, kafka.get(place, (0, 0))[0]) for place, end in after.items())
    return watch.report(written, written, checkpoint_discarded=discarded, topics=sorted({topic for topic, _ in kafka}))


def _set_by_signals() -> Event:
    """An event that SIGINT or SIGTERM sets."""
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stop.set())
    return stop
