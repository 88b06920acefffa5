"""Is everything there, and once? Bronze against Kafka's own offsets, and silver against bronze. Read only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import brokers, progress, schemas
from lake.decode import REFUSED
from lake.progress import TopicPartition
from lake.silver import ACCEPTED, DUPLICATE

SHOWN_GAPS = 10
_PLACE = ["topic", "partition", "offset"]


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """One topic partition. Ranges are [first, last] offsets. `waiting` messages are in Kafka and not in bronze yet: no fault."""

    topic: str
    partition: int
    kafka_first: int
    kafka_next: int
    messages: int
    repeated: int = 0
    missing: int = 0
    missing_ranges: list[tuple[int, int]] = field(default_factory=list)
    waiting: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SilverAudit:
    """What silver has seen of bronze, in messages and lines, counted by Spark's own JSON reader and not by the decoder."""

    messages_in: int
    messages_out: int
    lines_in: int
    silver_lines: int
    duplicate_lines: int
    quarantined: int

    @property
    def faults(self) -> list[str]:
        """What does not add up."""
        lines_out = self.silver_lines + self.duplicate_lines + self.quarantined
        return [
            f"silver: {given} {unit} in, {taken} out"
            for unit, given, taken in (("messages", self.messages_in, self.messages_out), ("lines", self.lines_in, lines_out))
            if given != taken
        ]


@dataclass(frozen=True, slots=True)
class Audit:
    """The whole audit; it held when there are no faults."""

    partitions: list[PartitionAudit]
    silver: SilverAudit

    @property
    def faults(self) -> list[str]:
        """Every fault, in words."""
        return [fault for part in self.partitions for fault in part.faults] + self.silver.faults

    def as_dict(self) -> dict[str, Any]:
        """The audit as JSON-ready values."""
        return {"held": not self.faults, "faults": self.faults, **asdict(self)}


def audit(session: SparkSession, settings: Settings) -> Audit:
    """Audits all topics of ours. Raises DependencyUnavailable when Kafka does not answer."""
    topics = brokers.source_topics(settings)
    schemas.create_if_missing(session, (schemas.BRONZE_EVENTS, *schemas.SILVER, *schemas.PROGRESS))
    bronze = session.table(schemas.BRONZE_EVENTS.name).where(sf.col("topic").isin(list(topics)))
    found = {(row["topic"], row["partition"]): row for row in ranges(bronze).collect()}
    kafka = brokers.offsets(settings, topics)  # asked after bronze was read: a running bronze job must not seem ahead of Kafka
    gaps = _gaps(bronze)
    return Audit(
        [
            judge(place, kafka.get(place), found[place].asDict() if place in found else None, gaps.get(place, []))
            for place in sorted(kafka.keys() | found.keys())
        ],
        _silver(session, bronze, topics),
    )


def ranges(bronze: DataFrame) -> DataFrame:
    """One row per topic partition: first and last offset, how many rows, how many distinct offsets."""
    return bronze.groupBy("topic", "partition").agg(
        sf.min("offset").alias("first"),
        sf.max("offset").alias("last"),
        sf.count("*").alias("rows"),
        sf.count_distinct("offset").alias("offsets"),
    )


def holes(bronze: DataFrame) -> DataFrame:
    """One row per run of offsets that bronze lacks between two that it has, both ends included."""
    following = sf.lead("offset").over(Window.partitionBy("topic", "partition").orderBy("offset"))
    return (
        bronze.select("topic", "partition", "offset", following.alias("following"))
        .where(sf.col("following") > sf.col("offset") + 1)
        .select("topic", "partition", (sf.col("offset") + 1).alias("first"), (sf.col("following") - 1).alias("last"))
    )


def judge(
    place: TopicPartition,
    kafka: tuple[int, int] | None,
    found: Mapping[str, int] | None,
    gaps: list[tuple[int, int]],
) -> PartitionAudit:
    """One partition judged: `kafka` is its first and next offset, `found` its row of `ranges`, `gaps` its holes.

    Offsets that a transaction's markers take look like gaps here; our producers use no transactions.
    """
    topic, partition = place
    first, following = kafka or (0, 0)
    if found is None:
        return PartitionAudit(topic, partition, first, following, 0, waiting=following - first)
    lost = list(gaps)
    if first < found["first"]:
        lost.insert(0, (first, found["first"] - 1))
    if kafka is not None and first > found["last"] + 1:
        lost.append((found["last"] + 1, first - 1))
    missing = sum(last - start + 1 for start, last in lost)
    repeated = found["rows"] - found["offsets"]
    faults = [f"{topic}/{partition}: offsets {start} to {last} are missing" for start, last in lost[:SHOWN_GAPS]]
    if repeated:
        faults.append(f"{topic}/{partition}: {repeated} rows repeat an offset")
    if found["last"] + 1 > following:
        faults.append(f"{topic}/{partition}: bronze has offset {found['last']}, Kafka ends before {following}: another topic now")
    return PartitionAudit(
        topic=topic,
        partition=partition,
        kafka_first=first,
        kafka_next=following,
        messages=found["rows"],
        repeated=repeated,
        missing=missing,
        missing_ranges=lost[:SHOWN_GAPS],
        waiting=max(following - max(found["last"] + 1, first), 0),
        faults=faults,
    )


def _gaps(bronze: DataFrame) -> dict[TopicPartition, list[tuple[int, int]]]:
    gaps: dict[TopicPartition, list[tuple[int, int]]] = {}
    for row in holes(bronze).orderBy("topic", "partition", "first").limit(10_000).collect():
        gaps.setdefault((row["topic"], row["partition"]), []).append((row["first"], row["last"]))
    return gaps


def _silver(session: SparkSession, bronze: DataFrame, topics: Mapping[str, str]) -> SilverAudit:
    read = bronze.where(progress.before(progress.read(session, schemas.SILVER_PROGRESS)))
    of_fate = {fate: sf.sum(sf.when(sf.col("fate") == fate, sf.col("lines"))) for fate in (ACCEPTED, DUPLICATE, REFUSED)}
    messages = sf.count_distinct(*(sf.col(name) for name in _PLACE)).alias("messages")
    out = outcomes(session, topics).agg(messages, *(sf.coalesce(of_fate[f], sf.lit(0)).alias(f) for f in of_fate)).collect()[0]
    refused = session.table(schemas.SILVER_QUARANTINE.name).select(*_PLACE, sf.lit(True).alias("refused")).distinct()
    lines = sf.coalesce(sf.sum(_lines(topics)), sf.lit(0))
    given = read.join(refused, on=_PLACE, how="left").agg(sf.count("*").alias("messages"), lines.alias("lines")).collect()[0]

    return SilverAudit(
        messages_in=given["messages"],
        messages_out=out["messages"],
        lines_in=given["lines"],
        silver_lines=out[ACCEPTED],
        duplicate_lines=out[DUPLICATE],
        quarantined=out[REFUSED],
    )


def outcomes(session: SparkSession, topics: Iterable[str]) -> DataFrame:
    """One row per row of silver, or of a list of what is not in it: where its message stood, its fate, its lines."""
    line, counted = sf.lit(1), sf.col("lines")
    sources = [(table.name, ACCEPTED, line) for table in schemas.SILVER_OF_KIND.values()]
    sources += [(schemas.SILVER_DUPLICATES.name, DUPLICATE, counted), (schemas.SILVER_QUARANTINE.name, REFUSED, line)]
    of_ours = sf.col("topic").isin(list(topics))
    rows = [
        session.table(name).where(of_ours).select(*_PLACE, sf.lit(fate).alias("fate"), lines.alias("lines"))
        for name, fate, lines in sources
    ]
    return reduce(DataFrame.union, rows)


def _lines(topics: Mapping[str, str]) -> Any:
    """How many lines a message has: the length of its JSON list, 1 where it has none or was refused."""
    text = sf.col("value").cast("string")
    lists = {"sales": "$.lines", "forecasts": "$.days"}
    count = sf.lit(1)
    for topic, kind in topics.items():
        if kind in lists:
            length = sf.greatest(sf.json_array_length(sf.get_json_object(text, lists[kind])), sf.lit(1))
            count = sf.when((sf.col("topic") == topic) & sf.col("refused").isNull(), length).otherwise(count)
    return count
