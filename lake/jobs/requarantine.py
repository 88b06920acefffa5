"""Job: the way back from quarantine: what the rule of today accepts goes to silver, the rest stays with its reason of today.

No message in quarantine has a row elsewhere in silver, and quarantine is replaced last, in one commit: what a killed run wrote is
known by that, removed first and made again. Silver's progress has nothing to say here, since these messages lie before it.
"""

from __future__ import annotations

from contextlib import ExitStack

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import brokers, progress, schemas, silver, silver_pass
from lake.cluster import computed_once
from lake.database import sole_writer
from lake.decode import REFUSED
from lake.progress import Offsets
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

_ELSEWHERE = (*schemas.SILVER_OF_KIND.values(), schemas.SILVER_DUPLICATES)
_READERS = (schemas.GOLD_PROGRESS, schemas.FEATURES_PROGRESS)
# A reader that ended while its progress is moved back would move it on again
_LOCKS = ("lake silver", "lake gold", "lake features")


def run(session: SparkSession, settings: Settings, *, dry_run: bool = False) -> JobReport:
    """`rows_in` is messages judged again, `rows_out` silver lines, `rejected` messages that stay (with `dry_run`: would).

    Raises JobIsRunning where silver, gold or the features are being made.
    """
    watch = Stopwatch("requarantine")
    schemas.create_if_missing(session)
    topics = sorted(brokers.source_topics(settings))
    of_ours = sf.col("topic").isin(topics)
    with ExitStack() as locks, spark_errors("judging quarantined messages again"):
        taken = [locks.enter_context(sole_writer(settings, job)) for job in (() if dry_run else _LOCKS)]
        held = computed_once(session.table(schemas.SILVER_QUARANTINE.name).where(of_ours))
        removed = 0 if dry_run else discard_unfinished(session, held, topics)
        judged = computed_once(silver.decoded(as_raw(held), silver.rule_of(settings)))
        left_behind = held.select(*silver.PLACE) if dry_run else None  # else it was removed just now
        fates = silver_pass.told_apart(session, judged, left_behind)
        accepted = computed_once(held.join(fates.where(sf.col("fate") == REFUSED), on=silver.PLACE, how="left_anti"))
        found = silver_pass.counted(fates)
        if not dry_run:
            rewind(session, accepted)
            silver_pass.append(session, settings, fates, _ELSEWHERE)
            for lock in taken:
                lock.require()
            silver.quarantine(fates).coalesce(1).writeTo(schemas.SILVER_QUARANTINE.name).overwrite(of_ours)
    return watch.report(
        found.messages,
        found.silver_lines,
        found.quarantined,
        accepted_by_old_reason=_by_reason(accepted),
        quarantined_by_reason=found.reasons,
        duplicate_lines=found.duplicate_lines,
        unfinished_rows_removed=removed,
        dry_run=dry_run,
    )


def as_raw(quarantined: DataFrame) -> DataFrame:
    """Quarantined messages as they came, in the columns that bronze gives to silver."""
    return silver.raw(quarantined.withColumn("value", sf.col("raw")))


def discard_unfinished(session: SparkSession, held: DataFrame, topics: list[str]) -> int:
    """Removes the rows that a killed run gave to messages still in quarantine. Returns how many.

    Gold and the features may have them already, and another rule may leave them out now: they look at everything again.
    """
    places = held.select(*silver.PLACE).distinct()
    same = " AND ".join(f"held.`{name}` = found.`{name}`" for name in silver.PLACE)
    ours = ", ".join(f"'{topic}'" for topic in topics)
    removed = 0
    for table in _ELSEWHERE:
        if found := session.table(table.name).join(places, on=silver.PLACE, how="left_semi").count():
            in_quarantine = f"SELECT 1 FROM {schemas.SILVER_QUARANTINE.name} AS held WHERE {same} AND held.topic IN ({ours})"
            session.sql(f"DELETE FROM {table.name} AS found WHERE EXISTS ({in_quarantine})")
            removed += found
    if removed:
        for reader in _READERS:
            progress.write(session, reader, {})
    return removed


def rewind(session: SparkSession, accepted: DataFrame) -> None:
    """Moves what reads silver by offsets back to the first of the messages that silver is about to get.

    Their rows are new to it then, and some that it has seen: it makes more anew than it must, and never less.
    """
    rows = accepted.groupBy("topic", "partition").agg(sf.min("offset").alias("first")).collect()
    firsts = {(row["topic"], row["partition"]): row["first"] for row in rows}
    for reader in _READERS:
        seen = progress.read(session, reader)
        if (back := moved_back(seen, firsts)) != seen:
            progress.write(session, reader, back)


def moved_back(seen: Offsets, firsts: Offsets) -> dict[progress.TopicPartition, int]:
    """The next offsets, none later than the first one that is to be seen again. A partition never seen stays so."""
    return {place: min(following, firsts.get(place, following)) for place, following in seen.items()}


def _by_reason(messages: DataFrame) -> dict[str, int]:
    counts = messages.groupBy("topic", "reason").count().orderBy("topic", "reason").collect()
    return {f"{row['topic']}:{row['reason']}": row["count"] for row in counts}
