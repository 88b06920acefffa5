"""Job: merge small files, expire old snapshots and remove orphan files of every table."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict

from pyspark.sql import SparkSession

from contracts.clock import Clock, system_clock
from contracts.settings import Settings
from lake import object_store, publication, schemas, tables
from lake.database import sole_writer
from lake.maintain import Ages, maintain
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

# appends to bronze go on: Iceberg merges them with a compaction, deletes it does not
_WRITERS = ("lake silver", "lake gold", "lake actuals", "lake features")
_AGES = Ages()


def run(
    session: SparkSession, settings: Settings, *, ages: Ages = _AGES, dry_run: bool = False, clock: Clock = system_clock
) -> JobReport:
    """`rows_in` is data files before, `rows_out` data files after. `detail` has the tables: files and bytes that readers see, and
    `stored`, the bytes under the table's folder with those of old snapshots, metadata and orphans, before and after.
    """
    watch = Stopwatch("maintain", clock)
    schemas.create_if_missing(session)
    with ExitStack() as locks, spark_errors("maintaining the lake"):
        held = [locks.enter_context(sole_writer(settings, job)) for job in _WRITERS]
        for table in schemas.PUBLISHED if not dry_run else ():
            publication.discard(session, table.name)  # a killed run's: the locks of its writers are ours
        done = []
        for table in schemas.TABLES:
            for lock in held:
                lock.require()
            folder = tables.location(session, table.name)
            stored = object_store.bytes_under(settings, folder)
            kept = maintain(session, table, clock(), ages=ages, dry_run=dry_run)
            left = stored if dry_run else object_store.bytes_under(settings, folder)
            done.append(asdict(kept) | {"stored": {"before": stored, "after": left}})
    files = [sum(kept[when]["files"] for kept in done) for when in ("before", "after")]
    stored_bytes = {when: sum(kept["stored"][when] for kept in done) for when in ("before", "after")}
    return watch.report(*files, dry_run=dry_run, stored=stored_bytes, tables=done)
