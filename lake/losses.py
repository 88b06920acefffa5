"""What Kafka dropped before bronze had read it: found before a query starts, and written down once somebody has accepted it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NoReturn

from pyspark.sql import SparkSession

from contracts.clock import EpochMs
from contracts.errors import DataGateError
from lake import spans
from lake.progress import TopicPartition
from lake.schemas import BRONZE_LOSSES
from lake.spans import Span

SHOWN = 5


def found(kafka: Mapping[TopicPartition, Span], following: Mapping[TopicPartition, int]) -> dict[TopicPartition, Span]:
    """The offsets between what bronze reads next and what Kafka has first. `kafka` is first and next offset."""
    return {
        place: (following[place], first - 1)
        for place, (first, _) in sorted(kafka.items())
        if place in following and first > following[place]
    }


def refuse(lost: Mapping[TopicPartition, Span]) -> NoReturn:
    """Raises DataGateError naming the offsets."""
    named = [f"{topic}/{partition} offsets {first} to {last}" for (topic, partition), (first, last) in lost.items()]
    more = f" and {len(named) - SHOWN} more partitions" if len(named) > SHOWN else ""
    raise DataGateError(
        f"Kafka no longer has {spans.count(lost.values())} offsets that bronze has not read",
        doing="reading Kafka to bronze",
        why=f"retention or a deletion took {', '.join(named[:SHOWN])}{more}",
        hint="They are in no archive of ours. `./rd360 lake bronze --accept-loss` writes the loss down and reads on after it.",
    )


def record(session: SparkSession, lost: Mapping[TopicPartition, Span], now: EpochMs) -> None:
    """Writes losses down in one commit."""
    found_at = dt.datetime.fromtimestamp(now / 1000, dt.UTC)
    rows = [(topic, partition, first, last, found_at) for (topic, partition), (first, last) in lost.items()]
    kinds = ", ".join(f"`{name}` {kind}" for name, kind in BRONZE_LOSSES.columns)
    session.createDataFrame(rows, kinds).coalesce(1).writeTo(BRONZE_LOSSES.name).append()


def read(session: SparkSession) -> dict[TopicPartition, list[Span]]:
    """The accepted losses of each topic partition."""
    accepted: dict[TopicPartition, list[Span]] = {}
    for row in session.table(BRONZE_LOSSES.name).collect():
        accepted.setdefault((row["topic"], row["partition"]), []).append((row["first"], row["last"]))
    return {place: spans.joined(lost) for place, lost in accepted.items()}
