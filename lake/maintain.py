"""Keeping the tables small: little files merged, old snapshots forgotten. What the tables hold does not change."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts.clock import EpochMs
from contracts.tables import CATALOG

SNAPSHOTS_KEPT = 20  # a running bronze query finds its last commits among them, which makes its retries idempotent
SMALL_FILES = 5  # fewer in one partition are left as they are


@dataclass(frozen=True, slots=True)
class Kept:
    """One table before and, where anything was done, after."""

    table: str
    files_before: int
    files_after: int
    snapshots_before: int
    snapshots_after: int


def maintain(session: SparkSession, table: str, now: EpochMs, *, dry_run: bool) -> Kept:
    """Merges a table's small files, then expires all but its last SNAPSHOTS_KEPT snapshots; with `dry_run` only counts."""
    files, snapshots = _size(session, table)
    if dry_run:
        return Kept(table, files, files, snapshots, snapshots)
    name = table.removeprefix(f"{CATALOG}.")
    session.sql(
        f"CALL {CATALOG}.system.rewrite_data_files(table => '{name}', options => map('min-input-files', '{SMALL_FILES}'))"
    ).collect()
    if snapshots > SNAPSHOTS_KEPT:
        session.sql(
            f"CALL {CATALOG}.system.expire_snapshots(table => '{name}', retain_last => {SNAPSHOTS_KEPT},"
            f" older_than => timestamp_millis({now}))"
        ).collect()
    files_after, snapshots_after = _size(session, table)
    return Kept(table, files, files_after, snapshots, snapshots_after)


def _size(session: SparkSession, table: str) -> tuple[int, int]:
    files = session.table(f"{table}.data_files").select(sf.lit("file").alias("what"))
    both = files.union(session.table(f"{table}.snapshots").select(sf.lit("snapshot"))).groupBy("what").count().collect()
    count = {row["what"]: int(row["count"]) for row in both}
    return count.get("file", 0), count.get("snapshot", 0)
