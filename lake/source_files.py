"""Which months of a table that is made of others have to be made anew: those of which files came or went since it was last made.

A table's snapshots say which files each commit brought and took away, and which days these hold. So late rows, rewritten ones
and those that are gone are seen without reading any, whoever wrote them. Where files are only merged no row changes, and nothing
is made anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from lake.months import following

FileDays = tuple[dt.date, dt.date] | None  # the days that a file may hold; None: every day
_MERGES = "replace"  # how Iceberg calls a commit of other files with the same rows
_BROUGHT, _TAKEN = 1, 2  # Iceberg's status of a file in a commit


@dataclass(frozen=True, slots=True)
class Commit:
    """One snapshot of a table: the one before it (None: it is the first), and whether it changes rows."""

    parent: int | None
    changes_rows: bool


def commits(session: SparkSession, table: str) -> dict[int, Commit]:
    """The snapshots that a table still has, by id."""
    rows = session.table(f"{table}.snapshots").select("snapshot_id", "parent_id", "operation").collect()
    return {row["snapshot_id"]: Commit(row["parent_id"], row["operation"] != _MERGES) for row in rows}


def between(known: Mapping[int, Commit], seen: int | None, now: int | None) -> list[int] | None:
    """The snapshots after `seen` up to `now` that change rows, latest first; a table without one has None.

    None where the one does not lead to the other: snapshots between have expired, or the table was set back.
    """
    found: list[int] = []
    at = now
    while at != seen:
        if at is None or at not in known:
            return None
        if known[at].changes_rows:
            found.append(at)
        at = known[at].parent
    return found


def files(session: SparkSession, table: str, day: str) -> list[FileDays]:
    """The days of each file of a table's current snapshot, by its column `day` (a date)."""
    return _days(session.table(f"{table}.files"), day)


def moved_files(session: SparkSession, table: str, day: str, snapshots: Iterable[int]) -> list[FileDays]:
    """The days of each file that came or went with these commits of a table, by its column `day` (a date)."""
    moved = sf.col("status").isin(_BROUGHT, _TAKEN)
    entries = [
        session.sql(f"SELECT * FROM {table}.entries VERSION AS OF {snapshot}").where(moved & (sf.col("snapshot_id") == snapshot))
        for snapshot in snapshots
    ]
    return _days(reduce(DataFrame.union, entries), day) if entries else []


def changed(moved: Sequence[FileDays], others: Sequence[FileDays], there: Sequence[FileDays]) -> list[dt.date]:
    """The months of files that moved; of those of `others` only months in which there is anything, ascending."""
    known = {*months(there), *months(moved)}
    if None in moved or None in others:
        return sorted(known)
    return sorted({*months(moved), *(month for month in months(others) if month in known)})


def months(spans: Collection[FileDays]) -> list[dt.date]:
    """The months of which files have days, as their first days, ascending."""
    found: set[dt.date] = set()
    for first, last in (span for span in spans if span is not None):
        month = first.replace(day=1)
        while month <= last:
            found.add(month)
            month = following(month)
    return sorted(found)


def within(chosen: Sequence[dt.date], day: str) -> Column:
    """Whether a date lies in one of the months. Ranges of days, which Iceberg knows for ranges of partitions."""
    condition = sf.lit(False)
    for month in chosen:
        condition = condition | ((sf.col(day) >= sf.lit(month)) & (sf.col(day) < sf.lit(following(month))))
    return condition


def _days(listed: DataFrame, day: str) -> list[FileDays]:
    """Of each listed file but those in which no row has a day."""
    metrics = sf.col(f"readable_metrics.{day}")
    rows = listed.select(
        metrics["lower_bound"].alias("first"),
        metrics["upper_bound"].alias("last"),
        (metrics["value_count"] == metrics["null_value_count"]).alias("without"),
    )
    return [
        None if row["first"] is None or row["last"] is None else (row["first"], row["last"])
        for row in rows.collect()
        if not row["without"]
    ]
