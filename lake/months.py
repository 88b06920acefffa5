"""Which months are made anew: those that new rows touch, or those of a span of days that somebody asks for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from contracts.errors import UsageError
from contracts.windows import EPOCH, calendar

_DOING = "choosing the months to make anew"


@dataclass(frozen=True, slots=True)
class Known:
    """What silver knows of: the first local day of any sale or stock event, the last one of any sale, and the latest sale's
    instant; None where there is none.
    """

    first_day: dt.date | None
    last_day: dt.date | None
    latest_ms: int | None


@dataclass(frozen=True, slots=True)
class Days:
    """A span of local days, both ends included. Raises UsageError where it ends before it begins."""

    first: dt.date
    last: dt.date

    def __post_init__(self) -> None:
        if self.last < self.first:
            why = "--from is the first day, --to the last"
            raise UsageError(f"{self.last} lies before {self.first}", doing=_DOING, why=why)

    @property
    def months(self) -> Months:
        """The months in which they lie."""
        return Months(self.first.replace(day=1), self.last.replace(day=1))


@dataclass(frozen=True, slots=True)
class Months:
    """Whole months, from that of `first` on to that of `last`; all later ones too where it is None. Both are first days."""

    first: dt.date
    last: dt.date | None = None

    @property
    def last_day(self) -> dt.date | None:
        """The last day of the last month."""
        return None if self.last is None else following(self.last) - dt.timedelta(days=1)

    def hold(self, day: Column) -> Column:
        """Whether a date lies in them. Plain comparisons, which Iceberg knows for ranges of partitions."""
        since = day >= sf.lit(self.first)
        return since if self.last is None else since & (day < sf.lit(following(self.last)))

    def hold_instant(self, instant: Column) -> Column:
        """Whether a timestamp lies in them, in UTC."""
        since = instant >= sf.lit(midnight(self.first))
        return since if self.last is None else since & (instant < sf.lit(midnight(following(self.last))))

    def names(self, until: dt.date) -> list[str]:
        """Each month as 2024-03, none after that of `until`."""
        found, month = [], self.first
        while month <= min(until, self.last or until):
            found.append(f"{month:%Y-%m}")
            month = following(month)
        return found


def known(sales: DataFrame, inventory: DataFrame) -> Known:
    """What these rows of silver know of."""
    sold = sales.select("local_day", sf.col("local_day").alias("sold"), "event_time_ms")
    lacking = sf.lit(None).cast("date").alias("sold"), sf.lit(None).cast("bigint").alias("event_time_ms")
    found = (
        sold.union(inventory.select("local_day", *lacking))
        .agg(sf.min("local_day"), sf.max("sold"), sf.max("event_time_ms"))
        .collect()[0]
    )
    return Known(*found)


def since_last(new: DataFrame, held: DataFrame, ever: DataFrame) -> Any:
    """The least of what the stores of new rows have last, or had first of all where they have nothing; None without new rows.

    Each has `store_id`, the latter two what is compared as `at`. Between its last sale and the next one a store has no days yet:
    where it pauses or opens, they come with the sale after them, however long ago they were.
    """
    last = held.groupBy("store_id").agg(sf.max("at").alias("last"))
    stores = new.select("store_id").distinct().join(last, on="store_id", how="left").collect()
    found = [row["last"] for row in stores if row["last"] is not None]
    if opened := [row["store_id"] for row in stores if row["last"] is None]:  # only then all that there ever was is looked at
        found += [ever.where(sf.col("store_id").isin(opened)).agg(sf.min("at")).collect()[0][0]]
    return min(found, default=None)


def within(days: Days, there: Known) -> Days:
    """What of a span silver knows of. Raises UsageError where it is nothing."""
    if there.first_day is None or there.last_day is None:
        raise UsageError("There is no day to make anew", doing=_DOING, hint="Silver has no sale yet: `./rd360 lake run`.")
    first, last = max(days.first, there.first_day), min(days.last, there.last_day)
    if last < first:
        raise UsageError(
            f"There is nothing to make anew from {days.first} to {days.last}",
            doing=_DOING,
            why=f"the lake's days are {there.first_day} to {there.last_day}",
            hint="Choose a span that meets them.",
        )
    return Days(first, last)


def in_utc(days: Days, zones: Iterable[str]) -> Months:
    """The months in UTC that hold every instant of the local days of these zones."""
    calendars = [calendar(zone) for zone in zones]
    first_ms = min(each.day_start((days.first - EPOCH).days) for each in calendars)
    last_ms = max(each.day_start((days.last - EPOCH).days + 1) for each in calendars) - 1
    return Days(day_of(first_ms), day_of(last_ms)).months


def day_of(at_ms: int) -> dt.date:
    """The day of an instant in UTC."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).date()


def following(month: dt.date) -> dt.date:
    """The first day of the month after the one that begins on a day."""
    return (month + dt.timedelta(days=31)).replace(day=1)


def midnight(day: dt.date) -> dt.datetime:
    """The instant at which a day begins in UTC."""
    return dt.datetime.combine(day, dt.time(), dt.UTC)
