"""Kafka to bronze: one row per message, raw, by Spark Structured Streaming; each offset once, also after a lost checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from threading import Event

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.streaming.query import StreamingQuery

from contracts.errors import DataGateError, DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import ISOLATION_LEVEL
from lake import losses, progress
from lake.progress import TopicPartition
from lake.schemas import BRONZE_EVENTS, SILVER_PROGRESS
from lake.session import spark_errors

MAX_OFFSETS_PER_BATCH = 1_000_000
CONTINUOUS_TRIGGER = "10 seconds"
STOP_CHECK_SECONDS = 1
_EARLIEST = -2  # Spark's code for "from the first offset there is"


def seen_by_silver(session: SparkSession, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """The next offset that silver has not seen, for each partition of these topics that it has seen any of."""
    topics = frozenset(topics)
    return {place: end for place, end in progress.read(session, SILVER_PROGRESS).items() if place[0] in topics}


def next_offsets(session: SparkSession, topics: Iterable[str], seen: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """The offset after the last one in bronze, or after a loss that was written down, for each partition that has either.

    `seen` is `seen_by_silver`: the last message that silver has seen is in bronze, so only the files with it and with later
    offsets are looked into. Where it is not, bronze was set back to an older state, and ends where its own rows end.
    """
    topics, rows = frozenset(topics), session.table(BRONZE_EVENTS.name)
    read = _ends(rows.where(progress.not_seen({place: end - 1 for place, end in seen.items()}, topics)))
    if set_back := seen.keys() - read.keys():
        read |= dict.fromkeys(set_back, 0) | _ends(rows.where(progress.before({place: seen[place] for place in set_back})))
    lost = {place: ranges for place, ranges in losses.read(session).items() if place[0] in topics}
    # without a row only a loss from 0 on says where to read: before a later one there were rows, in a state that is gone
    without_rows = {place: ranges[0][1] + 1 for place, ranges in lost.items() if place not in read and ranges[0][0] == 0}
    return without_rows | {place: max(offset, lost[place][-1][1] + 1 if place in lost else 0) for place, offset in read.items()}


def _ends(rows: DataFrame) -> dict[TopicPartition, int]:
    last = rows.groupBy("topic", "partition").agg(sf.max("offset").alias("last")).collect()
    return {(row["topic"], row["partition"]): row["last"] + 1 for row in last}


def count_since(session: SparkSession, topics: Iterable[str], before: Mapping[TopicPartition, int]) -> int:
    """How many messages of the topics bronze has at or after these offsets."""
    return session.table(BRONZE_EVENTS.name).where(progress.not_seen(before, topics)).count()


def starting_offsets(partitions: Mapping[TopicPartition, object], following: Mapping[TopicPartition, int]) -> str:
    """Spark's `startingOffsets`: each of Kafka's partitions from where bronze ends, or from its first offset."""
    start: dict[str, dict[str, int]] = {}
    for topic, partition in sorted(partitions):
        start.setdefault(topic, {})[str(partition)] = following.get((topic, partition), _EARLIEST)
    return json.dumps(start)


def checkpoint_folder(settings: Settings) -> Path:
    """Where the query keeps its place: a local or persistent volume, since it needs atomic renames."""
    return settings.home / "data" / "checkpoints" / "bronze"


def checkpoint_end(checkpoint: Path) -> dict[TopicPartition, int] | None:
    """The next offsets after the last batch of a checkpoint; None where its last planned batch was never committed."""
    planned = _numbered(checkpoint / "offsets")
    committed = _numbered(checkpoint / "commits")
    if not planned or max(planned) not in committed:
        return None
    return _batch_end(planned[max(planned)])


def discard_stale_checkpoint(checkpoint: Path, following: Mapping[TopicPartition, int]) -> bool:
    """Removes a checkpoint that does not end where bronze ends: bronze decides where reading goes on. Says whether it did.

    A checkpoint of another lake, or an old copy, would skip offsets or write them twice. One that a kill left in the middle of a
    batch would plan it again, which Spark 4.1 cannot do with `availableNow` (a NullPointerException in its Kafka metrics).
    A commit to bronze is atomic, so its own last offsets are right in every case.
    """
    if not checkpoint.exists():
        return False
    end = checkpoint_end(checkpoint)
    if end is not None and _same_place(end, following):
        return False
    shutil.rmtree(checkpoint)
    return True


def messages(session: SparkSession, settings: Settings, start: str) -> DataFrame:
    """A stream of one row per Kafka message in bronze's columns. `start` is Spark's `startingOffsets`."""
    source = (
        session.readStream.format("kafka")
        .option("kafka.bootstrap.servers", settings.kafka)
        .option("subscribe", ",".join(json.loads(start)))
        .option("startingOffsets", start)
        .option("kafka.isolation.level", ISOLATION_LEVEL)
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .option("maxOffsetsPerTrigger", MAX_OFFSETS_PER_BATCH)
        .load()
    )
    return source.select(
        "topic",
        "partition",
        "offset",
        sf.col("timestamp").alias("kafka_time"),
        sf.current_timestamp().alias("ingest_time"),
        "key",
        "value",
        "headers",
    )


def start_query(stream: DataFrame, checkpoint: Path, available_now: bool) -> StreamingQuery:
    """Starts the query: until what is there now is read, or until it is stopped."""
    writer = stream.writeStream.queryName("bronze").outputMode("append").option("checkpointLocation", str(checkpoint))
    writer = writer.trigger(availableNow=True) if available_now else writer.trigger(processingTime=CONTINUOUS_TRIGGER)
    return writer.toTable(BRONZE_EVENTS.name, format="iceberg")


def finish(query: StreamingQuery, stop: Event, require: Callable[[], None], enough: Callable[[], bool]) -> None:
    """Waits for the query's end, and ends it once `stop` is set or it is `enough`, or as soon as `require` raises.

    Raises DataGateError where Kafka no longer has what bronze has not read yet, and what `require` raises.
    """
    try:
        with spark_errors("writing Kafka's messages to bronze"):
            while not query.awaitTermination(STOP_CHECK_SECONDS):
                if stop.is_set() or enough():
                    query.stop()  # not from a signal handler: this thread's connection to the JVM is busy waiting then
                else:
                    _stop_unless(require, query)
    except StreamingQueryException as error:
        if "DATA_LOSS" not in str(error) and "failOnDataLoss" not in str(error):
            raise
        raise DataGateError(
            "Kafka no longer has messages that bronze has not read",
            doing="reading Kafka",
            why=str(error).splitlines()[0],
            hint="Run it again: the offsets are named then, with what can be done.",
        ) from error


def _stop_unless(require: Callable[[], None], query: StreamingQuery) -> None:
    try:
        require()
    except DependencyUnavailable:
        query.stop()
        raise


def _same_place(end: Mapping[TopicPartition, int], following: Mapping[TopicPartition, int]) -> bool:
    read = {place: offset for place, offset in end.items() if offset > 0}
    return read == {place: offset for place, offset in following.items() if place in end}


def _numbered(folder: Path) -> dict[int, Path]:
    return {int(path.name): path for path in folder.glob("*") if path.name.isdigit()} if folder.exists() else {}


def _batch_end(path: Path) -> dict[TopicPartition, int]:
    last_line = path.read_text(encoding="utf-8").strip().splitlines()[-1]  # version, batch metadata, then one line per source
    return {
        (topic, int(partition)): offset
        for topic, partitions in json.loads(last_line).items()
        for partition, offset in partitions.items()
    }
