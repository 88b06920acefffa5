"""Job: what bronze has and silver has not seen, decoded, deduplicated and written; exact also after a kill at any point.

The progress table is committed last. What a killed run wrote lies beyond it, is removed first, and is made again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import brokers, progress, repeats, schemas, silver_pass
from lake.database import sole_writer
from lake.progress import Offsets
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.silver_pass import Counts

MESSAGES_PER_PASS = 500_000  # of each topic partition: bounds the disk that one pass needs


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
    with sole_writer(settings, "lake silver") as lock, spark_errors("making silver from bronze"):
        removed = discard_unfinished(session, topics)
        counts, passes = Counts(), 0
        for stretch in stretches(session, topics):
            lock.require()
            passed = silver_pass.write(session, settings, stretch.bronze, stretch.messages)
            _check(passed, stretch)
            lock.require()
            progress.write(session, schemas.SILVER_PROGRESS, stretch.seen_after)
            counts, passes = counts.plus(passed), passes + 1
    return watch.report(
        counts.lines,
        counts.silver_lines,
        counts.quarantined,
        messages=counts.messages,
        duplicates=counts.duplicates,
        duplicate_lines=counts.duplicate_lines,
        quarantined_by_reason=counts.reasons,
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


def _check(counts: Counts, stretch: Stretch) -> None:
    if counts.messages == stretch.messages:
        return
    if found := repeats.find(stretch.bronze):
        raise repeats.refusal(found)
    raise DataGateError(
        f"{counts.messages} messages are accounted for, bronze has {stretch.messages}",
        doing="making silver from bronze",
        why="the decoder lost a message: no offset is in bronze twice",
        hint="Run it again. If it stays so this is a bug: `./rd360 lake audit --json` names the offsets.",
    )
