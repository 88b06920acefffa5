"""Is everything there, and once? Bronze against Kafka's own offsets, and silver against bronze. Read only."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import brokers, losses, progress, schemas, spans, topic_identity
from lake.decode import REFUSED
from lake.progress import TopicPartition
from lake.silver import ACCEPTED, DUPLICATE
from lake.spans import Span

SHOWN_GAPS = 10
_PLACE = ["topic", "partition", "offset"]


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """One topic partition. Ranges are [first, last] offsets. No faults: `waiting` offsets are in Kafka and not in bronze yet,
    `void` ones hold no message, as Kafka says, and an `accepted_loss` was written down when it was found."""

    topic: str
    partition: int
    kafka_first: int
    kafka_next: int
    messages: int
    repeated: int = 0
    missing: int = 0
    missing_ranges: list[tuple[int, int]] = field(default_factory=list)
    void: int = 0
    accepted_loss: int = 0
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
    schemas.create_if_missing(session, (*schemas.BRONZE, *schemas.SILVER, *schemas.PROGRESS))
    bronze = session.table(schemas.BRONZE_EVENTS.name).where(sf.col("topic").isin(list(topics)))
    found = {(row["topic"], row["partition"]): row for row in ranges(bronze).collect()}
    kafka = brokers.offsets(settings, topics)  # asked after bronze was read: a running bronze job must not seem ahead of Kafka
    lost = losses.read(session)
    open_ends = {place: (row["last"] + 1, kafka[place][1]) for place, row in found.items() if place in kafka}
    at_end = {place: ends for place, ends in open_ends.items() if kafka[place][0] <= ends[0] < ends[1]}
    void_ends = brokers.ends_void(settings, at_end)
    gaps = _gaps(bronze, found, kafka, topic_identity.read(session))
    asked = {
        place: spans.within(spans.without(gaps[place], lost.get(place, [])), [_held(kafka[place])])
        for place in gaps.keys() & kafka.keys()
    }
    filled = brokers.filled(settings, {place: wanted for place, wanted in asked.items() if wanted})
    return Audit(
        [
            judge(
                place,
                kafka.get(place),
                found[place].asDict() if place in found else None,
                Unread(gaps.get(place, []), filled.get(place, []), lost.get(place, []), place in void_ends),
            )
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


@dataclass(frozen=True, slots=True)
class Unread:
    """What bronze lacks of one partition before its last offset or Kafka's first, and what is known of it.

    `filled`: where Kafka has a message, of the gaps that it still holds. `lost`: accepted losses. `void_end`: Kafka has no
    message after bronze's last.
    """

    gaps: Sequence[Span] = ()
    filled: Sequence[Span] = ()
    lost: Sequence[Span] = ()
    void_end: bool = False


def judge(place: TopicPartition, kafka: Span | None, found: Mapping[str, int] | None, unread: Unread) -> PartitionAudit:
    """One partition judged: `kafka` is its first and next offset, `found` its row of `ranges`."""
    topic, partition = place
    first, following = kafka or (0, 0)
    unexplained = spans.without(unread.gaps, unread.lost)
    void = spans.without(spans.within(unexplained, [(first, following - 1)]), unread.filled)
    missing = spans.without(unexplained, void)
    if found is None:
        return PartitionAudit(
            topic=topic,
            partition=partition,
            kafka_first=first,
            kafka_next=following,
            messages=0,
            missing=spans.count(missing),
            missing_ranges=missing[:SHOWN_GAPS],
            accepted_loss=spans.count(spans.within(unread.gaps, unread.lost)),
            waiting=following - first,
            faults=_missing(place, missing),
        )
    repeated = found["rows"] - found["offsets"]
    after = max(following - max(found["last"] + 1, first), 0)
    faults = _missing(place, missing)
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
        missing=spans.count(missing),
        missing_ranges=missing[:SHOWN_GAPS],
        void=spans.count(void) + (after if unread.void_end else 0),
        accepted_loss=spans.count(spans.within(unread.gaps, unread.lost)),
        waiting=0 if unread.void_end else after,
        faults=faults,
    )


def _missing(place: TopicPartition, missing: Sequence[Span]) -> list[str]:
    return [f"{place[0]}/{place[1]}: offsets {start} to {last} are missing" for start, last in missing[:SHOWN_GAPS]]


def unread_spans(found: Mapping[str, int], kafka: Span | None, gaps: Sequence[Span]) -> list[Span]:
    """The gaps of a partition with what Kafka has before bronze's first offset, and what it dropped after bronze's last."""
    first = kafka[0] if kafka else found["first"]
    return spans.joined([(first, found["first"] - 1), *gaps, (found["last"] + 1, first - 1)])


def _gaps(
    bronze: DataFrame, found: Mapping[TopicPartition, Row], kafka: Mapping[TopicPartition, Span], met: Collection[str]
) -> dict[TopicPartition, list[Span]]:
    within: dict[TopicPartition, list[Span]] = {}
    for row in holes(bronze).collect():
        within.setdefault((row["topic"], row["partition"]), []).append((row["first"], row["last"]))
    gaps = {place: unread_spans(row.asDict(), kafka.get(place), within.get(place, [])) for place, row in found.items()}
    # of a topic that bronze has met it reads every partition from 0 on
    never_read = {
        place: [(0, first - 1)] for place, (first, _) in kafka.items() if place not in found and place[0] in met and first
    }
    return gaps | never_read


def _held(kafka: Span) -> Span:
    return kafka[0], kafka[1] - 1


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
