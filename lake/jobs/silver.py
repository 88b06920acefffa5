"""Job: what bronze has and silver has not seen, decoded, deduplicated and written; exact also after a kill at any point.

The progress table is committed last. What a killed run wrote lies beyond it, is removed first, and is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import brokers, progress, schemas, silver, tables
from lake.database import sole_writer
from lake.decode import REFUSED
from lake.progress import Offsets
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

MESSAGES_PER_PASS = 500_000  # of each topic partition: bounds the disk that one pass needs
FATES = (silver.ACCEPTED, silver.DUPLICATE, REFUSED)
ROWS_PER_FILE = 500_000  # a handful of new rows is one small file, not one from each task


@dataclass(frozen=True, slots=True)
class Counts:
    """What one run saw, in messages and in lines; a refused message counts as one line.

    `duplicates` are messages of which at least one line repeats an event, `duplicate_lines` those lines.
    """

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


@dataclass(frozen=True, slots=True)
class Stretch:
    """What one pass reads: its rows of bronze, how many, and the progress once it is done."""

    bronze: DataFrame
    messages: int
    seen_after: Offsets


def run(session: SparkSession, settings: Settings) -> JobReport:
    """`rows_in` is lines, `rows_out` silver lines, `rejected` quarantined messages."""
    watch = Stopwatch("silver")
    topics = tuple(brokers.source_topics(settings))
    schemas.create_if_missing(session, (schemas.BRONZE_EVENTS, *schemas.SILVER, *schemas.PROGRESS))
    with sole_writer(settings, "lake silver"), spark_errors("making silver from bronze"):
        removed = discard_unfinished(session, topics)
        counts, reasons, passes = Counts(), dict[str, int](), 0
        for stretch in stretches(session, topics):
            passed, refused = one_pass(session, settings, stretch)
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
    found = {row["name"]: row["count"] for row in reduce(DataFrame.union, parts).groupBy("name").count().collect()}
    for name in found:
        session.sql(f"DELETE FROM {name} WHERE {beyond}")
    return sum(found.values())


def stretches(session: SparkSession, topics: Iterable[str]) -> Iterator[Stretch]:
    """The stretches of bronze, one a pass, until silver has all of bronze as it stood at the start."""
    seen = progress.read(session, schemas.SILVER_PROGRESS)
    new = session.table(schemas.BRONZE_EVENTS.name).where(progress.not_seen(seen, topics))
    found = (
        new.groupBy("topic", "partition")
        .agg(sf.min("offset").alias("first"), sf.max("offset").alias("last"), sf.count("*").alias("messages"))
        .collect()
    )
    start = {(row["topic"], row["partition"]): row["first"] for row in found}
    last = {(row["topic"], row["partition"]): row["last"] for row in found}
    whole = all(last[place] < offset + MESSAGES_PER_PASS for place, offset in start.items())
    while start:
        ends = {place: min(last[place] + 1, offset + MESSAGES_PER_PASS) for place, offset in start.items()}
        rows = new.where(progress.not_seen(seen, topics)).where(progress.before(ends))
        yield Stretch(rows, sum(row["messages"] for row in found) if whole else rows.count(), {**seen, **ends})
        seen = {**seen, **ends}
        start = {place: end for place, end in ends.items() if end <= last[place]}


def one_pass(session: SparkSession, settings: Settings, stretch: Stretch) -> tuple[Counts, dict[str, int]]:
    """Writes one stretch of bronze to silver and returns its counts, and the refused messages by reason."""
    rows = silver.decoded(stretch.bronze, silver.rule_of(settings)).persist(StorageLevel.MEMORY_AND_DISK)
    known = [silver.known_events(session.table(table.name), rows) for table in schemas.SILVER_OF_KIND.values()]
    # a checkpoint, not a cache: Spark would compute a cache again after each append to a table that it was made from
    fates = silver.marked(rows, reduce(DataFrame.unionByName, known)).localCheckpoint()
    rows.unpersist()
    tally = _tally(fates)
    counts = _counts(tally)
    _check(counts, stretch.messages)
    tables.check_commits(session, _write(fates, tally, settings))
    progress.write(session, schemas.SILVER_PROGRESS, stretch.seen_after)
    return counts, {f"{row['topic']}:{row['reason']}": row[REFUSED] for row in tally if row[REFUSED]}


def _write(fates: DataFrame, tally: list[Row], settings: Settings) -> dict[str, int]:
    """Appends to each table that gets rows, and returns how many each must have got."""
    outputs = {
        schemas.SILVER_QUARANTINE.name: (silver.quarantine(fates), _total(tally, REFUSED)),
        schemas.SILVER_DUPLICATES.name: (silver.duplicates(fates), _total(tally, "repeating")),
    }
    for kind, table in schemas.SILVER_OF_KIND.items():
        outputs[table.name] = (silver.silver_rows(fates, kind, settings), _total(tally, silver.ACCEPTED, kind))
    wanted = {name: expected for name, (_, expected) in outputs.items() if expected}
    for name, expected in wanted.items():
        files = expected // ROWS_PER_FILE + 1
        tables.append(outputs[name][0].coalesce(files), name)
    return wanted


def _tally(fates: DataFrame) -> list[Row]:
    """One row per topic, type and reason: messages, those that repeat something, and rows by fate."""
    by_fate = {fate: sf.count_if(sf.col("fate") == fate).alias(fate) for fate in FATES}
    messages = fates.groupBy("topic", "partition", "offset", "type", "reason").agg(*by_fate.values())
    return (
        messages.groupBy("topic", "type", "reason")
        .agg(
            sf.count("*").alias("messages"),
            sf.count_if(sf.col(silver.DUPLICATE) > 0).alias("repeating"),
            *(sf.sum(fate).alias(fate) for fate in FATES),
        )
        .collect()
    )


def _total(tally: list[Row], column: str, kind: str | None = None) -> int:
    return sum(row[column] for row in tally if kind in (None, row["type"]))


def _counts(tally: list[Row]) -> Counts:
    return Counts(
        messages=_total(tally, "messages"),
        lines=sum(_total(tally, fate) for fate in FATES),
        silver_lines=_total(tally, silver.ACCEPTED),
        duplicates=_total(tally, "repeating"),
        duplicate_lines=_total(tally, silver.DUPLICATE),
        quarantined=_total(tally, REFUSED),
    )


def _check(counts: Counts, in_bronze: int) -> None:
    if counts.messages != in_bronze:
        raise DataGateError(
            f"{counts.messages} messages are accounted for, bronze has {in_bronze}",
            doing="making silver from bronze",
            why="bronze holds an offset twice, or the decoder lost a message",
            hint="`./rd360 lake audit` names repeated offsets.",
        )
