"""Silver against bronze, offset by offset: each line of each message once, in silver or in a list of what is not in it.

Totals would not do: a line that is lost at one place would be hidden by one that is there twice at another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as sf

from lake import schemas
from lake.decode import REFUSED
from lake.progress import TopicPartition
from lake.silver import ACCEPTED, DUPLICATE

SHOWN = 10  # offsets of each topic partition
SAID = 5
_PLACE = ["topic", "partition", "offset"]
_GIVEN, _AGAIN = "given", "again"
_LISTS = {"sales": "$.lines", "forecasts": "$.days"}  # of the kinds of topic whose messages have several lines
# What tells the silver rows of one message apart. Nothing does those of a forecast, which may name a day twice: they are counted.
_ITEMS = {"sales": "line_number"}
_NO_ITEM = "CAST(NULL AS INT)"
_BITS = 63  # of a long; few receipts have more lines


@dataclass(frozen=True, slots=True)
class SilverPlace:
    """An offset whose lines are not each once in silver or its lists. `repeated_lines`: rows beyond the first of a line."""

    offset: int
    lines_in: int
    silver_lines: int
    duplicate_lines: int
    quarantined: int
    repeated_lines: int

    def __str__(self) -> str:
        out = self.silver_lines + self.duplicate_lines + self.quarantined
        again = f", {self.repeated_lines} of them again" if self.repeated_lines else ""
        return f"{self.offset} ({self.lines_in} lines in, {out} out{again})"


@dataclass(frozen=True, slots=True)
class SilverPartition:
    """What silver has of one topic partition, as far as it has read it, in messages and lines. `places` are the first offsets of
    those that differ."""

    topic: str
    partition: int
    messages_in: int
    messages_out: int
    lines_in: int
    silver_lines: int
    duplicate_lines: int
    quarantined: int
    differing: int = 0
    places: list[SilverPlace] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """The fault in words, naming the first offsets; none where none differs."""
        if not self.differing:
            return []
        named = ", ".join(str(place) for place in self.places[:SAID]) + (" and others" if self.differing > SAID else "")
        return [f"{self.topic}/{self.partition}: silver is not bronze at {self.differing} offsets: {named}"]


@dataclass(frozen=True, slots=True)
class SilverAudit:
    """What silver has seen of bronze, by topic partition; lines are counted by Spark's own JSON reader and not by the decoder."""

    partitions: list[SilverPartition]

    @property
    def totals(self) -> dict[str, int]:
        """The sums over all partitions."""
        names = ("messages_in", "messages_out", "lines_in", "silver_lines", "duplicate_lines", "quarantined")
        return {name: sum(getattr(part, name) for part in self.partitions) for name in names}

    @property
    def faults(self) -> list[str]:
        """What does not add up."""
        return [fault for part in self.partitions for fault in part.faults]

    def as_dict(self) -> dict[str, Any]:
        """The totals and the partitions as JSON-ready values."""
        return {**self.totals, "partitions": [asdict(part) for part in self.partitions]}


def audit(session: SparkSession, bronze: DataFrame, topics: Mapping[str, str]) -> SilverAudit:
    """Audits what silver has of these rows of bronze, which are those that it has read."""
    compared = places(given(bronze, topics), outcomes(session, topics))
    columns = ("lines_in", "silver_lines", "duplicate_lines", "quarantined")
    found = (
        compared.groupBy("topic", "partition")
        .agg(
            sf.count_if("in_bronze").alias("messages_in"),
            sf.count_if(_out() > 0).alias("messages_out"),
            *(sf.sum(name).alias(name) for name in columns),
            sf.count_if("differs").alias("differing"),
        )
        .orderBy("topic", "partition")
        .collect()
    )
    shown = _shown(compared) if any(row["differing"] for row in found) else {}
    return SilverAudit([SilverPartition(**row.asDict(), places=shown.get((row["topic"], row["partition"]), [])) for row in found])


def outcomes(session: SparkSession, topics: Iterable[str]) -> DataFrame:
    """One row per row of silver, or of a list of what is not in it: where its message stood, its fate, which item of it, its
    lines.
    """
    sources = [(table.name, ACCEPTED, _ITEMS.get(kind, _NO_ITEM), "1") for kind, table in schemas.SILVER_OF_KIND.items()]
    sources += [
        (schemas.SILVER_DUPLICATES.name, DUPLICATE, _NO_ITEM, "lines"),
        (schemas.SILVER_QUARANTINE.name, REFUSED, _NO_ITEM, "1"),
    ]
    of_ours = sf.col("topic").isin(list(topics))
    rows = [
        session.table(name)
        .where(of_ours)
        .select(*_PLACE, sf.lit(fate).alias("fate"), sf.expr(item).alias("item"), sf.expr(lines).alias("lines"))
        for name, fate, item, lines in sources
    ]
    return reduce(DataFrame.union, rows)


def given(bronze: DataFrame, topics: Mapping[str, str]) -> DataFrame:
    """One row per message, in the columns of `outcomes`: its lines are the length of its JSON list, 1 where it has none."""
    text, lines = sf.col("value").cast("string"), sf.lit(1)
    for topic, kind in topics.items():
        if kind in _LISTS:
            length = sf.greatest(sf.json_array_length(sf.get_json_object(text, _LISTS[kind])), sf.lit(1))
            lines = sf.when(sf.col("topic") == topic, length).otherwise(lines)
    return bronze.select(*_PLACE, sf.lit(_GIVEN).alias("fate"), sf.expr(_NO_ITEM).alias("item"), lines.alias("lines"))


def places(given: DataFrame, outcomes: DataFrame) -> DataFrame:
    """One row per offset of either side: its lines in and out, and whether it `differs`.

    A refused message counts as one line. An offset that bronze has twice is given once: that it is there twice is bronze's fault.
    All is summed before the one shuffle by offset, the items of a message as the bits of a number.
    """
    of_bits = f"item < {_BITS}"

    def of_fate(fate: str) -> Column:
        return sf.coalesce(sf.sum(sf.when(sf.col("fate") == fate, sf.col("lines"))), sf.lit(0))

    most = sf.coalesce(sf.max(sf.when(sf.col("fate") == _GIVEN, sf.col("lines"))), sf.lit(0))
    items = sf.coalesce(sf.bit_count(sf.bit_or(sf.expr(f"CASE WHEN {of_bits} THEN shiftleft(1L, item) END"))), sf.lit(0))
    rows = given.unionByName(outcomes).unionByName(_beyond_bits(outcomes))
    sums = rows.groupBy(*_PLACE).agg(
        most.alias("given"),
        of_fate(ACCEPTED).alias("silver_lines"),
        of_fate(DUPLICATE).alias("duplicate_lines"),
        of_fate(REFUSED).alias("quarantined"),
        (sf.count_if(sf.expr(of_bits)) - items + of_fate(_AGAIN)).alias("repeated_lines"),
    )
    refused = sf.col("in_bronze") & (sf.col("quarantined") > 0)
    return (
        sums.withColumn("in_bronze", sf.col("given") > 0)
        .withColumn("lines_in", sf.when(refused, 1).otherwise(sf.col("given")))
        .withColumn("differs", (sf.col("lines_in") != _out()) | (sf.col("repeated_lines") > 0))
    )


def _beyond_bits(outcomes: DataFrame) -> DataFrame:
    """One row per repeated item of those that no bit is left for: how many rows of it are beyond the first."""
    counted = outcomes.where(f"item >= {_BITS}").groupBy(*_PLACE, "item").agg((sf.count("*") - 1).cast("int").alias("lines"))
    again = counted.where("lines > 0")
    return again.select(*_PLACE, sf.lit(_AGAIN).alias("fate"), sf.expr(_NO_ITEM).alias("item"), "lines")


def _out() -> Column:
    return sf.col("silver_lines") + sf.col("duplicate_lines") + sf.col("quarantined")


def _shown(compared: DataFrame) -> dict[TopicPartition, list[SilverPlace]]:
    """The first offsets of each topic partition that differ."""
    number = sf.row_number().over(Window.partitionBy("topic", "partition").orderBy("offset"))
    first = compared.where("differs").withColumn("number", number).where(sf.col("number") <= SHOWN)
    names = list(SilverPlace.__dataclass_fields__)
    found: dict[TopicPartition, list[SilverPlace]] = {}
    for row in first.select(*_PLACE, *names[1:]).orderBy(*_PLACE).collect():
        found.setdefault((row["topic"], row["partition"]), []).append(SilverPlace(**{name: row[name] for name in names}))
    return found
