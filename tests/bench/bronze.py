"""`rd360 bench bronze`: Kafka's messages into bronze on one core, beside a bare consumer of the same messages."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import pyarrow.parquet as pq
from confluent_kafka import OFFSET_BEGINNING, TopicPartition
from pyspark.sql import functions as sf

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.tables import BRONZE_EVENTS
from contracts.topics import SALES
from lake.audit import audit
from lake.jobs import bronze
from streams.broker import TIMEOUT_SECONDS, reader
from streams.producers.publish import Publisher
from tests import ground
from tests.bench import lake_receipts
from tests.outcome import Bar, Outcome, median, spread
from tests.own_lake import own_lake

QUICK_EVENTS = 5_000
CORRECT = (Bar("audit_faults", at_most=0), Bar("events_missing", at_most=0), Bar("events", at_least=1))
TIMING = (Bar("bronze_events_per_second", at_least=50_000),)


def run(settings: Settings, events: int, runs: int, say: Callable[[str], None], *, quick: bool = False) -> Outcome:
    """So many receipts, each run into an empty table. Spark gets one core: `local[1]`."""
    events, runs = (QUICK_EVENTS, 1) if quick else (events, runs)
    with ground.ground(settings) as own:
        folder = Path(tempfile.mkdtemp(prefix="rd360-bronze-"))
        try:
            sent = _send(own, folder / "raw", events)
            say(f"{sent:,} receipts are on Kafka")
            found = [_round(own, folder / f"run-{number}", sent, say) for number in range(runs)]
        finally:
            shutil.rmtree(folder)
    figures: dict[str, Any] = {"events": sent}
    for name in ("bronze_events_per_second", "bare_consumer_events_per_second"):
        rates = [one[name] for one in found]
        figures |= {name: round(median(rates)), f"{name}_spread": round(spread(rates), 3)}
    ratios = [one["bronze_events_per_second"] / one["bare_consumer_events_per_second"] for one in found]
    figures["bronze_to_bare_consumer"] = round(median(ratios), 3)
    figures["events_missing"] = max(one["missing"] for one in found)
    figures["audit_faults"] = sum(one["audit_faults"] for one in found)
    notes = ["The whole job: offsets asked before and after, the query's start, the commits. Starting Spark is not in it."]
    return Outcome("bench bronze", figures, CORRECT if quick else (*CORRECT, *TIMING), found, notes)


def _send(settings: Settings, raw: Path, events: int) -> int:
    topic = SALES.name(settings.topic_prefix)
    lake_receipts.write(raw, events * lake_receipts.LINES_A_RECEIPT, topic, settings.topic_partitions)
    with Publisher(settings, client_id="rd360-bench") as publisher:
        sent = 0
        for path in sorted(raw.glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(columns=["key", "value"]):
                for key, value in zip(batch["key"].to_pylist(), batch["value"].to_pylist(), strict=True):
                    publisher.send(topic, key, value)
                sent += len(batch)
    return sent


def _round(settings: Settings, home: Path, sent: int, say: Callable[[str], None]) -> dict[str, Any]:
    bare = _bare_consumer(settings, sent)
    tag = f"{settings.topic_prefix.strip('.')}-{home.name}"
    own = settings.model_copy(update={"home": home})  # a checkpoint of its own
    with own_lake(settings.model_copy(update={"spark_master": "local[1]"}), tag) as session:
        began = perf_counter()
        bronze.run(session, own)
        seconds = perf_counter() - began
        there = session.table(BRONZE_EVENTS).agg(sf.count("*")).collect()[0][0]
        faults = audit(session, own).partitions
    say(f"bronze {sent / seconds:,.0f} events/s, bare consumer {sent / bare:,.0f}")
    return {
        "bronze_events_per_second": round(sent / seconds),
        "bare_consumer_events_per_second": round(sent / bare),
        "missing": sent - there,
        "audit_faults": sum(len(part.faults) for part in faults),
    }


def _bare_consumer(settings: Settings, sent: int) -> float:
    """The seconds in which librdkafka hands over so many messages, one thread and nothing done with them."""
    consumer = reader(settings)
    topic = SALES.name(settings.topic_prefix)
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(settings.topic_partitions)])
    taken, began, until = 0, perf_counter(), time.monotonic() + TIMEOUT_SECONDS
    while taken < sent:
        messages = consumer.consume(10_000, timeout=1.0)
        taken += sum(message.error() is None for message in messages)  # the rest are ends of partitions
        if messages:
            until = time.monotonic() + TIMEOUT_SECONDS
        elif time.monotonic() > until:
            raise DependencyUnavailable(f"Kafka at {settings.kafka} sent {taken} of {sent} messages", doing="reading receipts")
    seconds = perf_counter() - began
    consumer.close()
    return seconds
