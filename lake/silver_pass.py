"""One stretch of bronze written to silver, every message and line of it counted.

What Spark reads alone and no other message repeats is written as it is read, in one go from bronze to silver. The rest, usually a
few of a hundred, is decoded in Python and told apart line by line.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Observation, Row, SparkSession
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import plain_receipts, schemas, silver, tables
from lake.cluster import computed_once
from lake.decode import REFUSED
from lake.table import Table

FATES = (silver.ACCEPTED, silver.DUPLICATE, REFUSED)
ROWS_PER_FILE = 500_000  # a handful of new rows is one small file, not one from each task
MESSAGES_PER_TASK = 50_000  # as long as there are few: fewer tasks, and so fewer files
OTHERS_HELD = 10_000  # places of messages that are not plain, noted while plain ones are written; more are looked for again
FEW = 20_000  # messages that Python decodes in less time than it takes to look at each of them twice
BROADCAST_ROWS = 1_000_000  # three short columns: some 50 MB on each executor


@dataclass(frozen=True, slots=True)
class Counts:
    """What was seen, in messages and in lines; a refused message counts as one line.

    `duplicates` are messages of which at least one line repeats an event, `duplicate_lines` those lines.
    """

    messages: int = 0
    lines: int = 0
    silver_lines: int = 0
    duplicates: int = 0
    duplicate_lines: int = 0
    quarantined: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def plus(self, other: Counts) -> Counts:
        """The sum of two counts."""
        names = [name for name in self.__dataclass_fields__ if name != "reasons"]
        reasons = {
            reason: self.reasons.get(reason, 0) + other.reasons.get(reason, 0) for reason in (*self.reasons, *other.reasons)
        }
        return Counts(**{name: getattr(self, name) + getattr(other, name) for name in names}, reasons=reasons)


def write(session: SparkSession, settings: Settings, bronze: DataFrame, number: int) -> Counts:
    """Appends a stretch of bronze of so many messages to silver. Raises DataGateError where a commit is not what was counted."""
    messages = silver.raw(bronze)
    if number <= FEW:
        rows = silver.decoded(messages, silver.rule_of(settings)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            return _write_told_apart(session, settings, rows)
        finally:
            rows.unpersist()
    return _write_mostly_plain(session, settings, messages, number)


def _write_mostly_plain(session: SparkSession, settings: Settings, messages: DataFrame, number: int) -> Counts:
    """Appends so many messages, of which nearly all are expected to be plain and alone."""
    rule = silver.rule_of(settings)
    of_sales = sf.col("topic") == plain_receipts.topic(rule)
    heads = plain_receipts.heads(messages, plain_receipts.routes(session, messages, rule), rule)
    heads = heads.persist(StorageLevel.MEMORY_AND_DISK)
    decoded = silver.decoded(heads.where("NOT may_be_plain"), rule).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        shared = _held(silver.shared(heads, decoded, session.table(schemas.SILVER_SALES.name)))
        doubtful = _held(heads.where(of_sales & ~sf.col("may_be_plain")).select(*silver.PLACE))
        alone = heads.where("may_be_plain").count() - shared.rows
        plain, refused = Counts(), _Places(shared.frame.limit(0), 0)
        if alone:
            found = shared.absent_from(doubtful.absent_from(messages.where(of_sales)))
            plain, refused = _write_plain(session, settings, found, alone)
        rows = decoded
        for places in (shared, refused):
            if places.rows:
                rows = rows.unionByName(silver.decoded(places.present_in(messages), rule))
        return plain.plus(_write_told_apart(session, settings, rows)) if number > plain.messages else plain
    finally:
        heads.unpersist()
        decoded.unpersist()


@dataclass(frozen=True, slots=True)
class _Places:
    """Where some messages stand, one row each, and how many they are."""

    frame: DataFrame
    rows: int

    def present_in(self, messages: DataFrame) -> DataFrame:
        """The messages that stand at one of the places."""
        return messages.join(self._hinted(), on=silver.PLACE, how="left_semi")

    def absent_from(self, messages: DataFrame) -> DataFrame:
        """The messages that stand at none of the places."""
        return messages.join(self._hinted(), on=silver.PLACE, how="left_anti") if self.rows else messages

    def _hinted(self) -> DataFrame:
        return sf.broadcast(self.frame) if self.rows <= BROADCAST_ROWS else self.frame


def _held(places: DataFrame) -> _Places:
    frame = computed_once(places)
    return _Places(frame, frame.count())


def _write_plain(session: SparkSession, settings: Settings, messages: DataFrame, number: int) -> tuple[Counts, _Places]:
    """Appends the lines of those of `messages` that are plain. Returns their counts, and the places of the others.

    Messages are counted while they are written: another look at them would parse them again.
    """
    seen = Observation()
    receipts = plain_receipts.read(messages, silver.rule_of(settings))
    place = sf.when(~sf.col("is_plain"), sf.struct(*silver.PLACE))
    counted = receipts.observe(
        seen,
        sf.count_if("is_plain").alias("messages"),
        sf.count_if(~sf.col("is_plain")).alias("others"),
        sf.coalesce(sf.sum(sf.when(sf.col("is_plain"), sf.size("lines"))), sf.lit(0)).alias("lines"),
        sf.slice(sf.collect_list(place), 1, OTHERS_HELD).alias("places"),
    )
    rows = silver.plain_rows(counted.coalesce(number // MESSAGES_PER_TASK + 1), settings)
    tables.append(rows, schemas.SILVER_SALES.name)
    found = seen.get
    tables.check_commits(session, {schemas.SILVER_SALES.name: found["lines"]})
    others = receipts.where("NOT is_plain").select(*silver.PLACE)
    if found["others"] <= OTHERS_HELD:
        places = [tuple(place) for place in found["places"]]
        others = session.createDataFrame(places, "topic string, partition int, offset bigint")
    counts = Counts(messages=found["messages"], lines=found["lines"], silver_lines=found["lines"])
    return counts, _Places(others, found["others"])


def _write_told_apart(session: SparkSession, settings: Settings, rows: DataFrame) -> Counts:
    """Appends decoded rows: each event once, what is refused with its reason."""
    fates = told_apart(session, rows)
    return append(session, settings, fates, schemas.SILVER)


def told_apart(session: SparkSession, rows: DataFrame, unfinished: DataFrame | None = None) -> DataFrame:
    """Decoded rows with their `fate`, beside each other and beside all of silver; computed once.

    What silver has of `unfinished` messages, one row per place, is looked past.
    """
    known = []
    for table in schemas.SILVER_OF_KIND.values():
        there = session.table(table.name)
        if unfinished is not None:
            there = there.join(unfinished, on=silver.PLACE, how="left_anti")
        known.append(silver.known_events(there, rows))
    # a checkpoint, not a cache: Spark would compute a cache again after each append to a table that it was made from
    return computed_once(silver.marked(rows, reduce(DataFrame.unionByName, known)))


def append(session: SparkSession, settings: Settings, fates: DataFrame, into: Iterable[Table]) -> Counts:
    """Appends the rows of `told_apart` to the given ones of silver's tables. Returns the counts of all rows.

    Raises DataGateError where a commit is not what was counted.
    """
    tally = _tally(fates)
    outputs = {
        schemas.SILVER_QUARANTINE.name: (silver.quarantine(fates), _total(tally, REFUSED)),
        schemas.SILVER_DUPLICATES.name: (silver.duplicates(fates), _total(tally, "repeating")),
    }
    for kind, table in schemas.SILVER_OF_KIND.items():
        outputs[table.name] = (silver.silver_rows(fates, kind, settings), _total(tally, silver.ACCEPTED, kind))
    wanted = {table.name: outputs[table.name][1] for table in into if outputs[table.name][1]}
    for name, expected in wanted.items():
        tables.append(outputs[name][0].coalesce(expected // ROWS_PER_FILE + 1), name)
    tables.check_commits(session, wanted)
    return _counts(tally)


def _tally(fates: DataFrame) -> list[Row]:
    """One row per topic, type and reason: messages, those that repeat something, and rows by fate."""
    by_fate = {fate: sf.count_if(sf.col("fate") == fate).alias(fate) for fate in FATES}
    messages = fates.groupBy("topic", "partition", "offset", "type", "reason").agg(*by_fate.values())
    return (
        messages.groupBy("topic", "type", "reason")
        .agg(
            sf.count("*").alias("messages"),
            sf.count_if(sf.col(silver.DUPLICATE) > 0).alias("repeating"),
            *(sf.sum(fate).alias(fate) for fate in FATES),
        )
        .collect()
    )


def _total(tally: list[Row], column: str, kind: str | None = None) -> int:
    return sum(row[column] for row in tally if kind in (None, row["type"]))


def counted(fates: DataFrame) -> Counts:
    """The counts of the rows of `told_apart`."""
    return _counts(_tally(fates))


def _counts(tally: list[Row]) -> Counts:
    return Counts(
        messages=_total(tally, "messages"),
        lines=sum(_total(tally, fate) for fate in FATES),
        silver_lines=_total(tally, silver.ACCEPTED),
        duplicates=_total(tally, "repeating"),
        duplicate_lines=_total(tally, silver.DUPLICATE),
        quarantined=_total(tally, REFUSED),
        reasons={f"{row['topic']}:{row['reason']}": row[REFUSED] for row in tally if row[REFUSED]},
    )
