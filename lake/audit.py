"""Is everything there, and once? Bronze against Kafka's own offsets, and silver against bronze. Read only."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession, Window
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import brokers, losses, progress, repeats, schemas, silver_audit, spans, topic_identity
from lake.progress import TopicPartition
from lake.repeats import Repeat
from lake.silver_audit import SilverAudit
from lake.spans import Span

SHOWN_GAPS = 10


@dataclass(frozen=True, slots=True)
class PartitionAudit:
    """One topic partition. Ranges are [first, last] offsets. No faults: `waiting` offsets are in Kafka and not in bronze yet,
    `void` ones hold no message, as Kafka says, and an `accepted_loss` was written down when it was found. `repeated` rows are
    those beyond the first of their offset."""

    topic: str
    partition: int
    kafka_first: int
    kafka_next: int
    messages: int
    repeated: int = 0
    repeated_offsets: list[Repeat] = field(default_factory=list)
    missing: int = 0
    missing_ranges: list[tuple[int, int]] = field(default_factory=list)
    void: int = 0
    accepted_loss: int = 0
    waiting: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Audit:
    """The whole audit; it held when there are no faults."""

    partitions: list[PartitionAudit]
    silver: SilverAudit

    @property
    def faults(self) -> list[str]:
        """Every fault, in words. An audit that found nothing to look at has proved nothing."""
        if not self.partitions:
            return ["neither Kafka nor bronze has a topic of ours: RD360_TOPIC_PREFIX names them, the first message makes them"]
        return [fault for part in self.partitions for fault in part.faults] + self.silver.faults

    @property
    def leave_one(self) -> str | None:
        """The statement that leaves one row of each offset that bronze has more than once; None where it has none."""
        topics = {part.topic for part in self.partitions if part.repeated}
        return repeats.leave_one(topics) if topics else None

    def as_dict(self) -> dict[str, Any]:
        """The audit as JSON-ready values."""
        return {
            "held": not self.faults,
            "faults": self.faults,
            "leave_one": self.leave_one,
            "partitions": [asdict(part) for part in self.partitions],
            "silver": self.silver.as_dict(),
        }


def audit(session: SparkSession, settings: Settings) -> Audit:
    """Audits all topics of ours. Raises DependencyUnavailable when Kafka does not answer."""
    topics = brokers.source_topics(settings)
    schemas.create_if_missing(session, (*schemas.BRONZE, *schemas.SILVER, *schemas.PROGRESS))
    bronze = session.table(schemas.BRONZE_EVENTS.name).where(sf.col("topic").isin(list(topics)))
    found = {(row["topic"], row["partition"]): row for row in ranges(bronze).collect()}
    again = repeats.find(bronze) if any(row["rows"] != row["offsets"] for row in found.values()) else {}
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
    read = bronze.where(progress.before(progress.read(session, schemas.SILVER_PROGRESS)))
    return Audit(
        [
            judge(
                place,
                kafka.get(place),
                found[place].asDict() if place in found else None,
                Unread(gaps.get(place, []), filled.get(place, []), lost.get(place, []), place in void_ends),
                again.get(place, []),
            )
            for place in sorted(kafka.keys() | found.keys())
        ],
        silver_audit.audit(session, read, topics),
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


def judge(
    place: TopicPartition,
    kafka: Span | None,
    found: Mapping[str, int] | None,
    unread: Unread,
    again: Sequence[Repeat] = (),
) -> PartitionAudit:
    """One partition judged: `kafka` is its first and next offset, `found` its row of `ranges`, `again` its repeated offsets."""
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
        faults.append(f"{topic}/{partition}: {repeated} rows repeat an offset: {repeats.said(again)}")
    if found["last"] + 1 > following:
        faults.append(f"{topic}/{partition}: bronze has offset {found['last']}, Kafka ends before {following}: another topic now")
    return PartitionAudit(
        topic=topic,
        partition=partition,
        kafka_first=first,
        kafka_next=following,
        messages=found["rows"],
        repeated=repeated,
        repeated_offsets=list(again),
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
