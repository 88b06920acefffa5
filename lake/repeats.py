"""Offsets that bronze has more than once, which it never should: which ones, and where their rows came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from lake.progress import TopicPartition
from lake.schemas import BRONZE_EVENTS

SHOWN = 10  # offsets of each topic partition, and rows of each offset
SAID = 3
_PLACE = ["topic", "partition", "offset"]


@dataclass(frozen=True, slots=True)
class Copy:
    """One row of a repeated offset: when it was ingested, in ISO 8601, the data file that has it, and at which row of that."""

    ingested: str
    file: str
    position: int


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
    copy = sf.struct(ingested, sf.col("_file").alias("file"), sf.col("_pos").alias("position"))
    rows = bronze.select(*_PLACE, copy.alias("copy"))
    copies = sf.slice(sf.sort_array(sf.collect_list("copy")), 1, SHOWN)
    named = rows.join(sf.broadcast(first), on=_PLACE).groupBy(*_PLACE, "rows").agg(copies.alias("copies"))
    found: dict[TopicPartition, list[Repeat]] = {}
    for row in named.orderBy(*_PLACE).collect():
        copied = [Copy(**one.asDict()) for one in row["copies"]]
        found.setdefault((row["topic"], row["partition"]), []).append(Repeat(row["offset"], row["rows"], copied))
    return found


def refusal(found: Mapping[TopicPartition, Sequence[Repeat]]) -> DataGateError:
    """Why silver cannot be made of these rows, by their offsets, and how one of each is removed."""
    places = [f"{topic}/{partition} offset {said(repeats)}" for (topic, partition), repeats in found.items()]
    return DataGateError(
        "Bronze has offsets more than once",
        doing="making silver from bronze",
        why="; ".join(places[:SAID]) + (f"; and so of {len(places) - SAID} more partitions" if len(places) > SAID else ""),
        hint=f"Leave one row of each, while no job of the lake runs: {leave_one({topic for topic, _ in found})}; then make silver"
        " again. Rows of one offset that are not the same message all stay. `./rd360 lake audit --json` lists them.",
    )


def leave_one(topics: Iterable[str]) -> str:
    """The statement that removes all rows of these topics but the first of each message.

    Rows are told apart by their places in files, since those of one batch have one time of ingest. Iceberg knows these places in
    a subquery only.
    """
    message = ", ".join(f"`{name}`" for name in BRONZE_EVENTS.column_names if name != "ingest_time")
    named = ", ".join(f"'{topic}'" for topic in sorted(topics))
    copies = f"row_number() OVER (PARTITION BY {message} ORDER BY ingest_time, _file, _pos) AS copy"
    return (
        f"DELETE FROM {BRONZE_EVENTS.name} WHERE (_file, _pos) IN (SELECT _file, _pos FROM"
        f" (SELECT _file, _pos, {copies} FROM {BRONZE_EVENTS.name} WHERE topic IN ({named})) WHERE copy > 1)"
    )


def said(repeats: Iterable[Repeat]) -> str:
    """The first of a partition's repeated offsets, in words."""
    named = [str(repeat) for repeat in repeats]
    return ", ".join(named[:SAID]) + (" and others" if len(named) > SAID else "")
