"""`rd360 bench small-files`: bronze as days of one-minute micro-batches leave it, then maintenance while a reader reads."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as sf

from contracts.clock import system_clock
from contracts.settings import Settings
from lake import schemas
from lake.maintain import Ages, maintain
from lake.schemas import BRONZE_EVENTS
from tests.outcome import Bar, Outcome, median
from tests.own_lake import own_lake

TOPIC, PARTITIONS = "small-files", 4  # a micro-batch leaves a file of each topic partition
FIRST_DAY = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
MINUTES_A_DAY, QUICK_MINUTES = 24 * 60, 30
MINUTES_A_COMMIT = 60
SINGLE_COMMITS = 3  # minutes that are committed as a query would, one by one, to see what one takes
VALUE_BYTES = 1_024
HASH_BYTES = 64  # of a SHA-512: values are made of them, which nothing can compress, so that bytes written are bytes meant
LARGE_BYTES = 64 * 2**20
SCANS = 3
READER_SECONDS = 600.0
CORRECT = (
    Bar("reader_errors", at_most=0),
    Bar("reads_meanwhile", at_least=1),
    Bar("rows_different", at_most=0),
    Bar("files_to_merge_after", at_most=0),
)
WHOLE = (Bar("share_in_large_files_after", at_least=0.9), Bar("scan_after_to_before", at_most=1.0))


@dataclass(frozen=True, slots=True)
class Files:
    """Bronze's files: how many, MB of all, MB of the middle one, and which share of the bytes is in files of 64 MB or more."""

    files: int
    mb: float
    median_mb: float
    share_in_large_files: float


@dataclass(slots=True)
class Reads:
    """What a reader saw: seconds of each read, and what was wrong with some."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def run(settings: Settings, days: int, mb_a_day: int, say: Callable[[str], None], *, quick: bool = False) -> Outcome:
    """So many days of minutes, four files each, merged once. The lake's servers must be there; its tables are the bench's own."""
    minutes = QUICK_MINUTES if quick else days * MINUTES_A_DAY
    rows_a_file = max(1, 2 if quick else mb_a_day * 1_000_000 // (MINUTES_A_DAY * PARTITIONS * VALUE_BYTES))
    tag = f"bench-{uuid.uuid4().hex[:8]}"
    with own_lake(settings, tag) as session:
        schemas.create_if_missing(session, [BRONZE_EVENTS])
        commit_seconds = list(_filled(session, minutes, rows_a_file))
        say(f"{minutes:,} minutes are written; one commit of one takes {median(commit_seconds[:SINGLE_COMMITS]):.2f} s")
        before, rows = files(session), scanned(session)
        scans_before = [_seconds(lambda: scanned(session)) for _ in range(SCANS)]
        say(f"{before.files:,} files of {before.median_mb:.3f} MB, a scan {median(scans_before):.1f} s")
        with _reader(session, rows) as reads:
            began = perf_counter()
            kept = maintain(session, BRONZE_EVENTS, system_clock(), ages=Ages(), dry_run=False)
            seconds = perf_counter() - began
        after = files(session)
        scans_after = [_seconds(lambda: scanned(session)) for _ in range(SCANS)]
        different = _different(rows, scanned(session))
    say(f"{after.files:,} files of {after.median_mb:.1f} MB, a scan {median(scans_after):.1f} s; merged in {seconds:.0f} s")
    scan_before, scan_after = median(scans_before), median(scans_after)
    figures: dict[str, Any] = {
        "minutes": minutes,
        "rows": sum(row["rows"] for row in rows),
        "one_commit_seconds": round(median(commit_seconds[:SINGLE_COMMITS]), 2),
        **{f"{name}_before": round(value, 4) for name, value in asdict(before).items()},
        **{f"{name}_after": round(value, 4) for name, value in asdict(after).items()},
        "files_to_merge_after": kept.after.mergeable_files,
        "scan_seconds_before": round(scan_before, 2),
        "scan_seconds_after": round(scan_after, 2),
        "scan_after_to_before": round(scan_after / scan_before, 3),
        "maintain_seconds": round(seconds, 1),
        "reads_meanwhile": len(reads.seconds),
        "slowest_read_seconds": round(max(reads.seconds, default=0.0), 1),
        "reader_errors": len(reads.errors),
        "rows_different": different,
    }
    notes = [
        f"Simulated: {MINUTES_A_COMMIT} minutes are one commit. There are as many files as a query leaves, as small, but fewer"
        " snapshots and manifests. Values do not compress.",
        *reads.errors[:5],
    ]
    return Outcome("bench small-files", figures, CORRECT if quick else (*CORRECT, *WHOLE), notes=notes)


def files(session: SparkSession) -> Files:
    """Bronze's files as its metadata tell them."""
    size = sf.col("file_size_in_bytes")
    large = sf.coalesce(sf.sum(sf.when(size >= LARGE_BYTES, size)), sf.lit(0))
    found = (
        session.table(f"{BRONZE_EVENTS.name}.data_files")
        .agg(sf.count("*").alias("files"), sf.sum(size).alias("bytes"), sf.median(size).alias("median"), large.alias("large"))
        .collect()[0]
    )
    return Files(found["files"], found["bytes"] / 1e6, found["median"] / 1e6, found["large"] / found["bytes"])


def scanned(session: SparkSession) -> list[Row]:
    """One row per topic partition: how many rows, and a sum over every value's bytes and offset. Reads all of it."""
    every = sf.sum(sf.xxhash64("offset", "value").cast("decimal(38, 0)")).alias("hashes")
    rows = session.table(BRONZE_EVENTS.name).groupBy("topic", "partition")
    return rows.agg(sf.count("*").alias("rows"), every).orderBy("topic", "partition").collect()


def _filled(session: SparkSession, minutes: int, rows_a_file: int) -> Iterator[float]:
    """Writes the minutes, the first few one by one; the seconds of each commit."""
    at = 0
    while at < minutes:
        some = 1 if at < SINGLE_COMMITS else min(MINUTES_A_COMMIT, minutes - at)
        began = perf_counter()
        _commit(session, at, some, rows_a_file)
        yield perf_counter() - began
        at += some


def _commit(session: SparkSession, first_minute: int, minutes: int, rows_a_file: int) -> None:
    """One commit with a file for each minute and topic partition: each task has the rows of one."""
    tasks = minutes * PARTITIONS
    start = first_minute * PARTITIONS * rows_a_file
    numbered = session.range(start, start + tasks * rows_a_file, numPartitions=tasks)
    file = sf.floor(sf.col("id") / rows_a_file).cast("bigint")
    minute = sf.floor(file / PARTITIONS).cast("bigint")
    seed = sf.col("id").cast("string")
    pieces = range(VALUE_BYTES // HASH_BYTES)
    hashes = [sf.unhex(sf.sha2(sf.concat_ws("-", seed, sf.lit(str(piece))), 512)) for piece in pieces]
    at = sf.timestamp_millis(sf.lit(int(FIRST_DAY.timestamp() * 1000)) + minute * 60_000)
    columns = {
        "topic": sf.lit(TOPIC),
        "partition": (file % PARTITIONS).cast("int"),
        "offset": minute * rows_a_file + sf.col("id") % rows_a_file,
        "kafka_time": at,
        "ingest_time": at,
        "key": sf.lit(None).cast("binary"),
        "value": sf.concat(*hashes),
        "headers": sf.lit(None).cast(dict(BRONZE_EVENTS.columns)["headers"]),
    }
    rows = numbered.select(*(column.alias(name) for name, column in columns.items()))
    # as a query's micro-batch writes: each task what it has, nothing is moved or merged before
    rows.writeTo(BRONZE_EVENTS.name).option("distribution-mode", "none").option("fanout-enabled", "true").append()


@contextmanager
def _reader(session: SparkSession, expected: list[Row]) -> Iterator[Reads]:
    """Reads all of bronze again and again while the block runs, and at least once."""
    reads, over = Reads(), threading.Event()

    def read() -> None:
        while not reads.seconds or not over.is_set():
            began = perf_counter()
            try:
                found = scanned(session)
            except Exception as error:  # noqa: BLE001  # whatever a reader meets is what the bench is about
                reads.errors.append(str(error).splitlines()[0])
                if over.is_set():
                    return
                continue
            reads.seconds.append(perf_counter() - began)
            if different := _different(expected, found):
                reads.errors.append(f"{different} topic partitions read with other rows")

    thread = threading.Thread(target=read, name="reader", daemon=True)
    thread.start()
    try:
        yield reads
    finally:
        over.set()
        thread.join(READER_SECONDS)


def _different(expected: list[Row], found: list[Row]) -> int:
    """How many topic partitions have other rows."""
    return len(set(expected) ^ set(found))


def _seconds(action: Callable[[], object]) -> float:
    began = perf_counter()
    action()
    return perf_counter() - began
