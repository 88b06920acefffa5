"""Job: what bronze has and silver has not seen, decoded, deduplicated and written; exact also after a kill at any point.

The progress table is committed last. What a killed run wrote lies beyond it, is removed first, and is made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import brokers, progress, schemas, silver, tables
from lake.database import sole_writer
from lake.decode import REFUSED
from lake.progress import TopicPartition
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

MESSAGES_PER_PASS = 500_000  # of each topic partition: bounds the disk that one pass needs


@dataclass(frozen=True, slots=True)
class Counts:
    """What one run saw, in messages and in lines; a refused message counts as one line."""

    messages: int = 0
    lines: int = 0
    silver_lines: int = 0
    duplicates: int = 0
    duplicate_lines: int = 0
    quarantined: int = 0

    def plus(self, other: Counts) -> Counts:
        """The sum of two counts."""
        names = self.__dataclass_fields__
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names})


def run(session: SparkSession, settings: Settings) -> JobReport:
    """`rows_in` is lines, `rows_out` silver lines, `rejected` quarantined messages."""
    watch = Stopwatch("silver")
    topics = tuple(brokers.source_topics(settings))
    schemas.create_if_missing(session, (schemas.BRONZE_EVENTS, *schemas.SILVER, *schemas.PROGRESS))
    with sole_writer(settings, "lake silver"), spark_errors("making silver from bronze"):
        removed = discard_unfinished(session, topics)
        counts, reasons, passes = Counts(), dict[str, int](), 0
        while ends := next_pass(session, topics):
            passed, refused = one_pass(session, settings, ends)
            counts, passes = counts.plus(passed), passes + 1
            for reason, number in refused.items():
                reasons[reason] = reasons.get(reason, 0) + number
    return watch.report(
        counts.lines,
        counts.silver_lines,
        counts.quarantined,
        messages=counts.messages,
        duplicates=counts.duplicates,
        duplicate_lines=counts.duplicate_lines,
        quarantined_by_reason=reasons,
        unfinished_rows_removed=removed,
        passes=passes,
    )


def discard_unfinished(session: SparkSession, topics: Iterable[str]) -> int:
    """Removes the rows that a killed run left beyond the progress table. Returns how many."""
    beyond = progress.not_seen(progress.read(session, schemas.SILVER_PROGRESS), topics)
    names = [table.name for table in schemas.SILVER]
    parts = [session.table(name).where(beyond).select(sf.lit(name).alias("name")) for name in names]
    left = parts[0]
    for part in parts[1:]:
        left = left.union(part)
    found = {row["name"]: row["count"] for row in left.groupBy("name").count().collect()}
    for name in found:
        session.sql(f"DELETE FROM {name} WHERE {beyond}")
    return sum(found.values())


def next_pass(session: SparkSession, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """Where the next pass ends in each topic partition with something new; empty when silver has seen all of bronze."""
    seen = progress.read(session, schemas.SILVER_PROGRESS)
    new = session.table(schemas.BRONZE_EVENTS.name).where(progress.not_seen(seen, topics))
    ranges = new.groupBy("topic", "partition").agg(sf.min("offset").alias("first"), sf.max("offset").alias("last")).collect()
    return {(row["topic"], row["partition"]): min(row["last"] + 1, row["first"] + MESSAGES_PER_PASS) for row in ranges}


def one_pass(session: SparkSession, settings: Settings, ends: dict[TopicPartition, int]) -> tuple[Counts, dict[str, int]]:
    """Writes one range of bronze to silver and returns its counts, and the refused messages by reason."""
    seen = progress.read(session, schemas.SILVER_PROGRESS)
    topics = {topic for topic, _ in ends}
    bronze = session.table(schemas.BRONZE_EVENTS.name).where(progress.not_seen(seen, topics)).where(progress.before(ends))
    rows = silver.decoded(bronze, silver.rule_of(settings)).persist(StorageLevel.MEMORY_AND_DISK)
    known = [silver.known_events(session.table(table.name), rows) for table in schemas.SILVER_OF_KIND.values()]
    fates = silver.marked(rows, _union(known)).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        tally = _tally(fates)
        counts = _counts(tally)
        _check(counts, bronze.count())
        _write(fates, tally, settings)
        progress.write(session, schemas.SILVER_PROGRESS, {**seen, **ends})
    finally:
        fates.unpersist()
        rows.unpersist()
    return counts, {f"{row['topic']}:{row['reason']}": row["rows"] for row in tally if row["fate"] == REFUSED}


def _write(fates: DataFrame, tally: list[Row], settings: Settings) -> None:
    refused = sum(row["rows"] for row in tally if row["fate"] == REFUSED)
    if refused:
        tables.append(silver.quarantine(fates), schemas.SILVER_QUARANTINE.name, refused)
    repeated = sum(row["messages"] for row in tally if row["fate"] == silver.DUPLICATE)
    if repeated:
        tables.append(silver.duplicates(fates), schemas.SILVER_DUPLICATES.name, repeated)
    for kind, table in schemas.SILVER_OF_KIND.items():
        accepted = sum(row["rows"] for row in tally if row["fate"] == silver.ACCEPTED and row["type"] == kind)
        if accepted:
            tables.append(silver.silver_rows(fates, kind, settings), table.name, accepted)


def _tally(fates: DataFrame) -> list[Row]:
    messages = sf.count_distinct(sf.col("topic"), sf.col("partition"), sf.col("offset")).alias("messages")
    return fates.groupBy("topic", "type", "fate", "reason").agg(messages, sf.count("*").alias("rows")).collect()


def _counts(tally: list[Row]) -> Counts:
    def total(column: str, fate: str | None = None) -> int:
        return sum(row[column] for row in tally if fate in (None, row["fate"]))

    return Counts(
        messages=total("messages"),
        lines=total("rows"),
        silver_lines=total("rows", silver.ACCEPTED),
        duplicates=total("messages", silver.DUPLICATE),
        duplicate_lines=total("rows", silver.DUPLICATE),
        quarantined=total("rows", REFUSED),
    )


def _check(counts: Counts, in_bronze: int) -> None:
    if counts.messages != in_bronze:
        raise DataGateError(
            f"{counts.messages} messages are accounted for, bronze has {in_bronze}",
            doing="making silver from bronze",
            why="bronze holds an offset twice, or the decoder lost a message",
            hint="`./rd360 lake audit` names repeated offsets.",
        )


def _union(frames: list[DataFrame]) -> DataFrame:
    first, *others = frames
    for other in others:
        first = first.unionByName(other)
    return first
