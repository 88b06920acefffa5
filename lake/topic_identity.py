"""Whether a topic of Kafka is the one that bronze has read under its name: one made anew counts its offsets from 0 again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pyspark.sql import SparkSession

from contracts.clock import EpochMs
from contracts.errors import DataGateError
from lake.progress import TopicPartition
from lake.schemas import BRONZE_TOPICS
from lake.spans import Span

SHOWN = 5


def refuse_shorter(kafka: Mapping[TopicPartition, Span], following: Mapping[TopicPartition, int]) -> None:
    """Raises DataGateError where Kafka ends before bronze does. `kafka` is first and next offset."""
    behind = [
        f"{topic}/{partition} ends before {kafka[topic, partition][1]} in Kafka and {offset} in bronze"
        for (topic, partition), offset in sorted(following.items())
        if (topic, partition) in kafka and kafka[topic, partition][1] < offset
    ]
    if behind:
        raise _refused(f"{', '.join(behind[:SHOWN])}: it was deleted and made anew, or Kafka lost its end")


def refuse_another(known: Mapping[str, str], ids: Mapping[str, str]) -> None:
    """Raises DataGateError where a topic has another id than the one that bronze has read: it may be longer by now."""
    others = [
        f"{topic} has id {ids[topic]}, not {known[topic]}" for topic in sorted(ids) if known.get(topic, ids[topic]) != ids[topic]
    ]
    if others:
        raise _refused(f"{', '.join(others[:SHOWN])}: it was deleted and made anew")


def read(session: SparkSession) -> dict[str, str]:
    """The id of each topic that bronze has read."""
    return {row["topic"]: row["topic_id"] for row in session.table(BRONZE_TOPICS.name).collect()}


def record(session: SparkSession, ids: Mapping[str, str], now: EpochMs) -> None:
    """Writes down topics that are met for the first time, in one commit."""
    met_at = dt.datetime.fromtimestamp(now / 1000, dt.UTC)
    rows = [(topic, topic_id, met_at) for topic, topic_id in sorted(ids.items())]
    kinds = ", ".join(f"`{name}` {kind}" for name, kind in BRONZE_TOPICS.columns)
    session.createDataFrame(rows, kinds).coalesce(1).writeTo(BRONZE_TOPICS.name).append()


def _refused(why: str) -> DataGateError:
    return DataGateError(
        "A topic is not the one that bronze has read",
        doing="reading Kafka to bronze",
        why=why,
        hint="Bronze keeps what it has under these names. Give the new topics other names, by another RD360_TOPIC_PREFIX."
        " Where it is the old topic with its old offsets, on a restored cluster, delete its row from lake.bronze.topics.",
    )
