"""Offsets that bronze has more than once, which it never should: which ones, and where their rows came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from lake.progress import TopicPartition

SHOWN = 10  # offsets of each topic partition, and rows of each offset
SAID = 3
_PLACE = ["topic", "partition", "offset"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One row of a repeated offset: when it was ingested, in ISO 8601, and the data file that has it."""

    ingested: str
    file: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """An offset that bronze has more than once, how often, and its first rows by the time of their ingest."""

    offset: int
    rows: int
    copies: list[Copy]

    def __str__(self) -> str:
        return f"{self.offset} ({self.rows} times, ingested {', '.join(copy.ingested for copy in self.copies[:SAID])})"


def find(bronze: DataFrame) -> dict[TopicPartition, list[Repeat]]:
    """The first repeated offsets of each topic partition. `bronze` is rows of the table itself, of which each knows its file."""
    in_order = sf.row_number().over(Window.partitionBy("topic", "partition").orderBy("offset"))
    counts = bronze.groupBy(*_PLACE).agg(sf.count("*").alias("rows")).where("rows > 1")
    first = counts.withColumn("number", in_order).where(sf.col("number") <= SHOWN).drop("number")
    ingested = sf.date_format("ingest_time", "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX").alias("ingested")
    rows = bronze.select(*_PLACE, sf.struct(ingested, sf.col("_file").alias("file")).alias("copy"))
    copies = sf.slice(sf.sort_array(sf.collect_list("copy")), 1, SHOWN)
    named = rows.join(sf.broadcast(first), on=_PLACE).groupBy(*_PLACE, "rows").agg(copies.alias("copies"))
    found: dict[TopicPartition, list[Repeat]] = {}
    for row in named.orderBy(*_PLACE).collect():
        copied = [Copy(copy["ingested"], copy["file"]) for copy in row["copies"]]
        found.setdefault((row["topic"], row["partition"]), []).append(Repeat(row["offset"], row["rows"], copied))
    return found


def refusal(found: Mapping[TopicPartition, Sequence[Repeat]]) -> DataGateError:
    """Why silver cannot be made of these rows, by their offsets, and how one of each is removed."""
    places = [f"{topic}/{partition} offset {said(repeats)}" for (topic, partition), repeats in found.items()]
    return DataGateError(
        "Bronze has offsets more than once",
        doing="making silver from bronze",
        why="; ".join(places[:SAID]) + (f"; and so of {len(places) - SAID} more partitions" if len(places) > SAID else ""),
        hint="Leave one row of each: DELETE FROM lake.bronze.events WHERE topic = … AND `partition` = … AND `offset` = … AND"
        " ingest_time = TIMESTAMP … of the later one. Then make silver again. `./rd360 lake audit --json` lists them with their"
        " files.",
    )


def said(repeats: Iterable[Repeat]) -> str:
    """The first of a partition's repeated offsets, in words."""
    named = [str(repeat) for repeat in repeats]
    return ", ".join(named[:SAID]) + (" and others" if len(named) > SAID else "")
