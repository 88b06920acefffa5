"""Keeping the tables small: little files merged, old snapshots forgotten, files of no snapshot removed. No row changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as sf

from contracts.clock import EpochMs
from contracts.tables import CATALOG
from lake import steps
from lake.publication import BRANCH
from lake.schemas import BRONZE_EVENTS
from lake.table import Table

SNAPSHOTS_KEPT = 20  # a running bronze query finds its last commits among them, which makes its retries idempotent
TARGET_BYTES = 128 * 2**20  # of a merged file; what is left over of a partition is shared out, and no file is under half of it
SMALL_BYTES = TARGET_BYTES * 3 // 4  # Iceberg's own share of the target under which a file is merged with others
SMALL_FILES = 5  # fewer in one partition are left as they are
MANIFESTS_KEPT = 10  # a plan reads them all; fewer cost less than another commit
COUNTED = ("event_id", "store_id", "product_id")  # columns that joins are by, whose distinct values are worth a scan
SHOWN_ORPHANS = 20
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Ages:
    """From which age on something may go. A reader or writer that takes longer can lose what it reads or has written."""

    snapshot_hours: float = 1.0
    orphan_days: float = 3.0  # Iceberg refuses less than one: a file is an orphan until its commit


@dataclass(frozen=True, slots=True)
class Size:
    """A table as it is: files and bytes of its current snapshot, of which small ones that have enough like them to be merged."""

    files: int
    bytes: int
    mergeable_files: int
    snapshots: int
    manifests: int


@dataclass(frozen=True, slots=True)
class Kept:
    """One table before and, where anything was done, after. With a dry run `expired` and `orphans` are what would go."""

    table: str
    before: Size
    after: Size
    expired: int
    orphans: int
    orphan_names: list[str]


def maintain(session: SparkSession, table: Table, now: EpochMs, *, ages: Ages, dry_run: bool) -> Kept:
    """Merges a table's small files and its manifests, expires old snapshots, removes orphans; with `dry_run` says what would go.

    The last SNAPSHOTS_KEPT snapshots stay, and all that are younger than `ages` says.
    """
    steps.begin(session, table.name)
    before = size(session, table.name)
    if not before.snapshots:
        return Kept(table.name, before, before, expired=0, orphans=0, orphan_names=[])
    if dry_run:
        orphans = _orphans(session, table.name, now, ages, dry_run=True)
        return Kept(table.name, before, before, _expirable(session, table.name, now, ages), len(orphans), orphans[:SHOWN_ORPHANS])
    if before.mergeable_files:
        _merge_files(session, table)
    if before.manifests > MANIFESTS_KEPT:
        _call(session, "rewrite_manifests", table.name)
    counted = ", ".join(f"'{name}'" for name in COUNTED if name in table.column_names)
    if counted and before.files:
        _call(session, "compute_table_stats", table.name, f"columns => array({counted})")
    expired = _expirable(session, table.name, now, ages)
    if expired:
        arguments = (f"retain_last => {SNAPSHOTS_KEPT}", f"older_than => {_instant(_old(now, ages))}")
        _call(session, "expire_snapshots", table.name, *arguments)
    orphans = _orphans(session, table.name, now, ages, dry_run=False)
    after = size(session, table.name)
    return Kept(table.name, before, after, expired, len(orphans), orphans[:SHOWN_ORPHANS])


def size(session: SparkSession, table: str) -> Size:
    """The table's size as its metadata tell it."""
    files = session.table(f"{table}.data_files")
    partition = sf.to_json("partition") if "partition" in files.columns else sf.lit("")
    small = sf.col("file_size_in_bytes") < SMALL_BYTES
    of_partition = files.groupBy(partition.alias("of")).agg(
        sf.count("*").alias("files"),
        sf.sum("file_size_in_bytes").alias("bytes"),
        sf.count_if(small).alias("small"),
    )
    mergeable = sf.sum(sf.when(sf.col("small") >= SMALL_FILES, sf.col("small")).otherwise(0))
    found = _only(of_partition.agg(sf.sum("files").alias("files"), sf.sum("bytes").alias("bytes"), mergeable.alias("mergeable")))
    return Size(
        files=found["files"] or 0,
        bytes=found["bytes"] or 0,
        mergeable_files=found["mergeable"] or 0,
        snapshots=session.table(f"{table}.snapshots").count(),
        manifests=session.table(f"{table}.manifests").count(),
    )


def _merge_files(session: SparkSession, table: Table) -> None:
    """Bronze is sorted as it comes, so that its files go on covering narrow ranges of offsets, by which reads skip them."""
    options = {"target-file-size-bytes": TARGET_BYTES, "min-file-size-bytes": SMALL_BYTES, "min-input-files": SMALL_FILES}
    pairs = ", ".join(f"'{name}', '{value}'" for name, value in options.items())
    order = ("strategy => 'sort'", "sort_order => 'partition ASC NULLS LAST, offset ASC NULLS LAST'")
    _call(session, "rewrite_data_files", table.name, f"options => map({pairs})", *(order if table is BRONZE_EVENTS else ()))


def _orphans(session: SparkSession, table: str, now: EpochMs, ages: Ages, *, dry_run: bool) -> list[str]:
    """The files under the table's folder that no snapshot knows and that are old enough; removed where it is no dry run."""
    old = now - int(ages.orphan_days * 24 * HOUR_MS)
    # listed through Iceberg's own S3 client: Spark has no other for s3:// here
    arguments = (f"older_than => {_instant(old)}", f"dry_run => {str(dry_run).lower()}", "prefix_listing => true")
    return sorted(row["orphan_file_location"] for row in _call(session, "remove_orphan_files", table, *arguments))


def _expirable(session: SparkSession, table: str, now: EpochMs, ages: Ages) -> int:
    """How many snapshots are older than they need be and not among the last of a branch."""
    at_ms = sf.unix_millis("committed_at").alias("at_ms")
    rows = session.table(f"{table}.snapshots").select("snapshot_id", "parent_id", at_ms).collect()
    refs = session.table(f"{table}.refs").where(sf.col("name") != BRANCH).collect()  # one that is left goes first
    parents = {row["snapshot_id"]: row["parent_id"] for row in rows}
    lengths = [(ref["snapshot_id"], SNAPSHOTS_KEPT if ref["type"] == "BRANCH" else 1) for ref in refs]
    kept = {snapshot for head, number in lengths for snapshot in last_ones(parents, head, number)}
    return sum(row["at_ms"] < _old(now, ages) and row["snapshot_id"] not in kept for row in rows)


def last_ones(parents: Mapping[int, int | None], head: int, number: int) -> list[int]:
    """A snapshot and those that it came of, so many as are there; `parents` names the one before each."""
    found: list[int] = []
    at: int | None = head
    while at is not None and at in parents and len(found) < number:
        found.append(at)
        at = parents[at]
    return found


def _old(now: EpochMs, ages: Ages) -> EpochMs:
    return now - int(ages.snapshot_hours * HOUR_MS)


def _instant(at: EpochMs) -> str:
    return f"timestamp_millis({at})"


def _call(session: SparkSession, procedure: str, table: str, *arguments: str) -> list[Row]:
    given = ", ".join((f"table => '{table.removeprefix(f'{CATALOG}.')}'", *arguments))
    return session.sql(f"CALL {CATALOG}.system.{procedure}({given})").collect()


def _only(frame: DataFrame) -> Row:
    return frame.collect()[0]
