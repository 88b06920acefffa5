"""What Kafka dropped before bronze had read it: found before a query starts, and written down once somebody has accepted it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import NoReturn

from pyspark.sql import SparkSession

from contracts.clock import EpochMs
from contracts.errors import DataGateError
from lake import spans
from lake.progress import TopicPartition
from lake.schemas import BRONZE_LOSSES
from lake.spans import Span

SHOWN = 5


def found(
    kafka: Mapping[TopicPartition, Span], following: Mapping[TopicPartition, int], met: Collection[str]
) -> dict[TopicPartition, Span]:
    """The offsets between what bronze reads next and what Kafka has first. `kafka` is first and next offset.

    Of a partition without a row bronze reads from 0 on, if it has `met` the topic before; a topic that it meets now may have
    begun without it.
    """
    next_read = {place: following.get(place, 0 if place[0] in met else first) for place, (first, _) in kafka.items()}
    return {place: (next_read[place], first - 1) for place, (first, _) in sorted(kafka.items()) if first > next_read[place]}


def before_us(
    kafka: Mapping[TopicPartition, Span], met_now: Collection[str], read: Collection[TopicPartition]
) -> dict[TopicPartition, Span]:
    """What Kafka had dropped of the topics that bronze meets now: no loss of ours, and written down for those who look later.

    A partition that is `read` already was met before, whatever is noted of its topic: what went since then is a loss.
    """
    met = (place for place in sorted(kafka) if place[0] in met_now and place not in read)
    return {place: (0, kafka[place][0] - 1) for place in met if kafka[place][0] > 0}


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
