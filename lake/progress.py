"""How far a job has read each topic partition: a small table, replaced in one atomic commit after the job's own writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as sf

TopicPartition = tuple[str, int]
Offsets = Mapping[TopicPartition, int]  # the next offset, the first one not seen


def read(session: SparkSession, table: str) -> dict[TopicPartition, int]:
    """The next offset of every topic partition that the job has ever seen."""
    return {(row["topic"], row["partition"]): row["next_offset"] for row in session.table(table).collect()}


def write(session: SparkSession, table: str, offsets: Offsets) -> None:
    """Replaces the table's rows in one commit."""
    rows = [(topic, partition, following) for (topic, partition), following in sorted(offsets.items())]
    frame = session.createDataFrame(rows, "topic string, partition int, next_offset bigint").coalesce(1)
    frame.writeTo(table).overwrite(sf.lit(True))


def not_seen(offsets: Offsets, topics: Iterable[str]) -> Column:
    """The condition on (topic, partition, offset) of the rows of these topics that lie at or after the given offsets.

    A conjunction of plain comparisons per partition, so that Iceberg skips files by their offset ranges.
    """
    topics = sorted(topics)
    known = [sf.struct(sf.lit(topic), sf.lit(partition)) for topic, partition in sorted(offsets) if topic in topics]
    started = [
        (sf.col("topic") == topic) & (sf.col("partition") == partition) & (sf.col("offset") >= following)
        for (topic, partition), following in sorted(offsets.items())
        if topic in topics
    ]
    if not known:
        return sf.col("topic").isin(topics)
    new_partitions = sf.col("topic").isin(topics) & ~sf.struct("topic", "partition").isin(known)
    return reduce(lambda left, right: left | right, started, new_partitions)


def up_to(offsets: Offsets) -> Column:
    """The condition on (topic, partition, offset) of the rows that lie before the given offsets."""
    before = [
        (sf.col("topic") == topic) & (sf.col("partition") == partition) & (sf.col("offset") < following)
        for (topic, partition), following in sorted(offsets.items())
    ]
    return reduce(lambda left, right: left | right, before, sf.lit(False))
