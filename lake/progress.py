"""How far a job has read each topic partition: a small table, replaced in one atomic commit after the job's own writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

TopicPartition = tuple[str, int]
Offsets = Mapping[TopicPartition, int]  # the next offset: the first one not seen


def read(session: SparkSession, table: str) -> dict[TopicPartition, int]:
    """The next offset of every topic partition that the job has ever seen."""
    return {(row["topic"], row["partition"]): row["next_offset"] for row in session.table(table).collect()}


def write(session: SparkSession, table: str, offsets: Offsets) -> None:
    """Replaces the table's rows in one commit."""
    rows = [(topic, partition, following) for (topic, partition), following in sorted(offsets.items())]
    frame = session.createDataFrame(rows, "topic string, partition int, next_offset bigint").coalesce(1)
    frame.writeTo(table).overwrite(sf.lit(True))


def not_seen(offsets: Offsets, topics: Iterable[str]) -> str:
    """The SQL condition of the rows of these topics at or after the given offsets.

    Plain comparisons only, so that Iceberg skips files by their ranges of offsets.
    """
    return _any_of(f"topic = '{topic}' AND {_after(topic, offsets)}" for topic in sorted(topics))


def before(offsets: Offsets) -> str:
    """The SQL condition of the rows before the given offsets."""
    return _any_of(
        f"topic = '{topic}' AND `partition` = {partition} AND `offset` < {following}"
        for (topic, partition), following in sorted(offsets.items())
    )


def _after(topic: str, offsets: Offsets) -> str:
    known = {partition: following for (name, partition), following in sorted(offsets.items()) if name == topic}
    if not known:
        return "TRUE"
    new = f"`partition` NOT IN ({', '.join(str(partition) for partition in known)})"
    started = [f"`partition` = {partition} AND `offset` >= {following}" for partition, following in known.items()]
    return f"({_any_of([new, *started])})"


def _any_of(conditions: Iterable[str]) -> str:
    return " OR ".join(f"({condition})" for condition in conditions) or "FALSE"
