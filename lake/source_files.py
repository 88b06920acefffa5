"""Which months of a table that is made of others have to be made anew: those of which the files are not the same any more.

A table's metadata say which days each of its files holds. So late rows, rewritten ones and those that are gone are seen without
reading any, whoever wrote them, and also when the snapshots between have expired. Merged files look changed, and cost a run.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as sf

from lake.months import following

Months = Mapping[dt.date, str]  # a month's first day -> what tells its files from others


@dataclass(frozen=True, slots=True)
class File:
    """One file of a table and the days that it may hold; None: every day."""

    path: str
    days: tuple[dt.date, dt.date] | None


def files(session: SparkSession, table: str, day: str) -> list[File]:
    """The files of a table's current snapshot, by its column `day` (a date); not those in which no row has a day."""
    metrics = sf.col(f"readable_metrics.{day}")
    rows = session.table(f"{table}.files").select(
        "file_path",
        metrics["lower_bound"].alias("first"),
        metrics["upper_bound"].alias("last"),
        (metrics["value_count"] == metrics["null_value_count"]).alias("without"),
    )
    return [
        File(row["file_path"], None if row["first"] is None or row["last"] is None else (row["first"], row["last"]))
        for row in rows.collect()
        if not row["without"]
    ]


def months(leading: Sequence[File], others: Iterable[File] = ()) -> Months:
    """Each month of which a leading file has days, with what tells the files of both kinds that have days of it."""
    known = sorted({month for file in leading for month in _months(file)})
    paths: dict[dt.date, list[str]] = {month: [] for month in known}
    for file in (*leading, *others):
        for month in _months(file) if file.days else known:
            if month in paths:
                paths[month].append(file.path)
    return {month: hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest() for month, names in paths.items()}


def changed(before: Months, now: Months) -> list[dt.date]:
    """The months that are new, gone, or of other files, ascending."""
    return sorted(month for month in {*before, *now} if before.get(month) != now.get(month))


def within(chosen: Sequence[dt.date], day: str) -> Column:
    """Whether a date lies in one of the months. Ranges of days, which Iceberg knows for ranges of partitions."""
    condition = sf.lit(False)
    for month in chosen:
        condition = condition | ((sf.col(day) >= sf.lit(month)) & (sf.col(day) < sf.lit(following(month))))
    return condition


def _months(file: File) -> Iterator[dt.date]:
    if file.days is None:
        return
    first, last = file.days
    month = first.replace(day=1)
    while month <= last:
        yield month
        month = following(month)
