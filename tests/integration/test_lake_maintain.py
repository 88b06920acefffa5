"""Maintenance on a lake that is in use: a continuous query writes and a reader reads while files are merged and snapshots go."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.clock import system_clock
from contracts.settings import Settings
from contracts.topics import SALES
from lake import brokers, maintain, object_store, schemas, tables
from lake import bronze as bronze_core
from lake.jobs import audit, bronze
from lake.maintain import SNAPSHOTS_KEPT, Ages
from lake.schemas import BRONZE_EVENTS, SILVER_DUPLICATES
from streams.declare import declare
from tests.bench import small_files
from tests.lake_store import place, store
from tests.own_lake import own_lake
from tests.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

NO_AGE = Ages(snapshot_hours=0)
COMMITS, ROWS_A_COMMIT = 30, 40
TOPIC = "elsewhere"


@pytest.fixture(scope="module")
def session(settings: Settings) -> Iterator[SparkSession]:
    with own_lake(settings, uuid.uuid4().hex[:8]) as own:
        yield own


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    """Topics and a checkpoint of their own."""
    home = tmp_path / "home"
    home.mkdir()
    own = settings.model_copy(update={"home": home, "topic_prefix": f"maintain-{uuid.uuid4().hex[:8]}."})
    declare(own)
    return own


def send(settings: Settings, tag: str) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka})
    for number in range(ROWS_A_COMMIT):
        producer.produce(SALES.name(settings.topic_prefix), key=f"{number}", value=f"{tag} {number}".encode())
    assert producer.flush(30) == 0


def commit_small_files(session: SparkSession) -> None:
    """Commits to bronze as micro-batches of two partitions of a foreign topic leave them."""
    schemas.create_if_missing(session, [BRONZE_EVENTS])
    for number in range(COMMITS):
        offsets = session.range(number * ROWS_A_COMMIT, (number + 1) * ROWS_A_COMMIT, numPartitions=1)
        rows = offsets.select(
            sf.lit(TOPIC).alias("topic"),
            (sf.col("id") % 2).cast("int").alias("partition"),
            (sf.col("id") / 2).cast("bigint").alias("offset"),
            sf.current_timestamp().alias("kafka_time"),
            sf.current_timestamp().alias("ingest_time"),
            sf.lit(None).cast("binary").alias("key"),
            sf.encode(sf.col("id").cast("string"), "UTF-8").alias("value"),
            sf.array().cast("array<struct<key: string, value: binary>>").alias("headers"),
        )
        rows.writeTo(names.BRONZE_EVENTS).append()


def test_a_running_query_and_a_reader_that_began_before_outlive_maintenance(session: SparkSession, apart: Settings) -> None:
    commit_small_files(session)
    expected = COMMITS * ROWS_A_COMMIT
    held = session.table(names.BRONZE_EVENTS).where(sf.col("topic") == TOPIC)  # planned on the snapshot of now
    stream = bronze_core.messages(
        session, apart, bronze_core.starting_offsets(brokers.offsets(apart, [SALES.name(apart.topic_prefix)]), {})
    )
    query = bronze_core.start_query(stream, bronze_core.checkpoint_folder(apart), available_now=False)
    try:
        read = held.toLocalIterator()
        first = next(read)
        send(apart, "before")
        plan = maintain.maintain(session, BRONZE_EVENTS, system_clock(), ages=NO_AGE, dry_run=True)
        kept = maintain.maintain(session, BRONZE_EVENTS, system_clock(), ages=Ages(), dry_run=False)
        rest = list(read)
        send(apart, "after")
        until(lambda: written(session, apart) == 2 * ROWS_A_COMMIT, "the query has written what was sent after", 60)
    finally:
        stop = Event()
        stop.set()
        bronze_core.finish(query, stop, lambda: None, lambda: False)

    assert len({row["value"] for row in (first, *rest)}) == expected
    assert plan.before == plan.after
    assert plan.expired >= COMMITS - SNAPSHOTS_KEPT
    assert kept.before.mergeable_files >= COMMITS
    assert kept.after.files < kept.before.files / 5
    assert kept.expired == 0  # all are younger than an hour
    assert bronze.run(session, apart).rows_out == 0
    assert audit.run(session, apart).faults == []


def test_old_snapshots_go_and_the_last_ones_stay(session: SparkSession) -> None:
    kept = maintain.maintain(session, BRONZE_EVENTS, system_clock(), ages=NO_AGE, dry_run=False)

    assert kept.after.snapshots == SNAPSHOTS_KEPT
    assert kept.expired > 0
    assert session.table(names.BRONZE_EVENTS).where(sf.col("topic") == TOPIC).count() == COMMITS * ROWS_A_COMMIT


def test_what_is_stored_of_a_table_is_all_that_lies_in_its_folder(session: SparkSession, settings: Settings) -> None:
    folder = tables.location(session, names.BRONZE_EVENTS)
    bucket, key = place(f"{folder}/")
    there = {found.key: found.size for found in store(settings).Bucket(bucket).objects.filter(Prefix=key)}

    assert object_store.bytes_under(settings, folder) == sum(there.values())
    assert maintain.size(session, names.BRONZE_EVENTS).bytes < sum(size for name, size in there.items() if "/data/" in name)


def test_merged_files_of_bronze_are_sorted_so_that_offsets_still_skip_them(session: SparkSession) -> None:
    rows = session.table(names.BRONZE_EVENTS).where(sf.col("topic") == TOPIC)
    per_file = rows.select(
        sf.input_file_name().alias("file"), "partition", "offset", sf.monotonically_increasing_id().alias("at")
    )
    for read in (
        per_file.groupBy("file")
        .agg(sf.sort_array(sf.collect_list(sf.struct("at", "partition", "offset"))).alias("rows"))
        .collect()
    ):
        places = [(row["partition"], row["offset"]) for row in read["rows"]]
        assert places == sorted(places)


def test_the_distinct_values_of_what_joins_are_by_are_counted(session: SparkSession) -> None:
    schemas.create_if_missing(session, [SILVER_DUPLICATES])
    kinds = ", ".join(f"`{name}` {kind}" for name, kind in SILVER_DUPLICATES.columns)
    rows = session.createDataFrame([("sales", 0, number, f"r-{number % 3}", 1) for number in range(6)], kinds)
    rows.writeTo(names.SILVER_DUPLICATES).append()
    maintain.maintain(session, SILVER_DUPLICATES, system_clock(), ages=Ages(), dry_run=False)

    assert distinct_values(session, names.SILVER_DUPLICATES) == {"event_id": 3}


def distinct_values(session: SparkSession, table: str) -> dict[str, int]:
    """What the statistics of a table's current snapshot say of its columns."""
    iceberg = session._jvm.org.apache.iceberg.spark.Spark3Util  # type: ignore[union-attr]  # py4j's, of no type
    loaded = iceberg.loadIcebergTable(session._jsparkSession, table)
    current = loaded.currentSnapshot().snapshotId()
    blobs = [blob for file in loaded.statisticsFiles() if file.snapshotId() == current for blob in file.blobMetadata()]
    return {loaded.schema().findColumnName(blob.fields()[0]): int(blob.properties()["ndv"]) for blob in blobs}


def test_a_file_that_a_writer_may_yet_commit_is_no_orphan(session: SparkSession, apart: Settings) -> None:
    location = session.sql(f"DESCRIBE EXTENDED {names.BRONZE_EVENTS}").where("col_name = 'Location'").collect()[0]["data_type"]
    uncommitted = store(apart).Object(*place(f"{location}/data/uncommitted.parquet"))
    uncommitted.put(Body=b"not yet")
    kept = maintain.maintain(session, BRONZE_EVENTS, system_clock(), ages=Ages(), dry_run=False)

    assert kept.orphans == 0
    assert uncommitted.get()["Body"].read() == b"not yet"


def test_the_bench_of_small_files_merges_them_under_a_reader_in_its_quick_form(session: SparkSession, settings: Settings) -> None:
    outcome = small_files.run(settings, days=1, mb_a_day=1, say=lambda _: None, quick=True)

    assert outcome.held, outcome.figures
    assert outcome.figures["files_before"] == small_files.QUICK_MINUTES * small_files.PARTITIONS
    assert outcome.figures["files_after"] == 1


def written(session: SparkSession, settings: Settings) -> int:
    """How many messages of these topics bronze has."""
    session.catalog.refreshTable(names.BRONZE_EVENTS)
    return session.table(names.BRONZE_EVENTS).where(sf.col("topic") == SALES.name(settings.topic_prefix)).count()
