"""gold.calendar: the days of each store with their holidays, so that a plan of the year to come joins to what is known of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as sf

from contracts.settings import Settings
from contracts.topics import ALL_STORES
from lake import public_holidays, schemas
from lake.public_holidays import OwnDay
from lake.quality_gate import Gate

DAYS_AHEAD = 400  # a year and the longest lead time of an order beyond it
_YEARS_AROUND = 1  # so that the first and the last day know the holiday before and after them
_KEYED = "calendar string, local_day date, name string"


def write(gate: Gate, own: Sequence[OwnDay] | None = None) -> int:
    """Makes gold.calendar of the days in gold.daily and DAYS_AHEAD more; returns how many rows.

    `own` takes the place of the kept file's holidays, where both tables keep the quality rules. Raises ConfigurationError where
    the settings name a place that has none.
    """
    calendar = schemas.GOLD_CALENDAR.name
    made = {} if own is None else {schemas.OWN_HOLIDAYS.name: _own_rows(gate.session, own)}
    if (rows := rows_now(gate.session, gate.settings, own)) is not None:
        made[calendar] = rows
    return gate.publish(made, sf.lit(True)).get(calendar, 0)


def rows_now(session: SparkSession, settings: Settings, own: Sequence[OwnDay] | None = None) -> DataFrame | None:
    """The rows of gold.calendar as they should be; none where gold has no day yet."""
    daily = session.table(schemas.GOLD_DAILY.name)
    seen = daily.agg(
        sf.min("local_day").alias("first"), sf.max("local_day").alias("last"), sf.collect_set("store_id").alias("stores")
    )
    span = seen.collect()[0]
    if span["first"] is None:
        return None
    kept = own_days(session) if own is None else own
    calendar_of = public_holidays.places(
        span["stores"], {each.store_id for each in kept}, settings.holidays, settings.store_holidays
    )
    last = span["last"] + dt.timedelta(days=DAYS_AHEAD)
    keyed = holidays_by_calendar(calendar_of.items(), kept, _years(span["first"], last))
    stores = session.createDataFrame(sorted(calendar_of.items()), "store_id string, calendar string")
    return calendar(stores, session.createDataFrame(keyed, _KEYED), sf.lit(span["first"]), sf.lit(last))


def own_days(session: SparkSession) -> list[OwnDay]:
    """The holidays of the file that was brought last, in order."""
    return sorted(OwnDay(*row) for row in session.table(schemas.OWN_HOLIDAYS.name).select("store_id", "day", "name").collect())


def holidays_by_calendar(
    calendar_of: Iterable[tuple[str, str]], own: Sequence[OwnDay], years: Iterable[int]
) -> list[tuple[str, dt.date, str]]:
    """(calendar, day, name) of every calendar that a store keeps: one row a day."""
    wanted = list(years)
    by_store: dict[str, list[OwnDay]] = {}
    for each in own:
        by_store.setdefault(each.store_id, []).append(each)
    of_all = by_store.get(ALL_STORES, [])
    rows: list[tuple[str, dt.date, str]] = []
    for key in sorted({key for _, key in calendar_of}):
        if key.startswith(public_holidays.file_key("")):
            store = key.removeprefix(public_holidays.file_key(""))
            days = public_holidays.own_days_of([*of_all, *by_store.get(store, [])], store)
        else:
            days = public_holidays.library_days(key, wanted)
        rows += [(key, day, name) for day, name in days]
    return rows


def calendar(stores: DataFrame, holidays: DataFrame, first_day: Column, last_day: Column) -> DataFrame:
    """One row per store × local day from `first_day` to `last_day`, in the columns of gold.calendar.

    `stores` has `store_id` and the `calendar` that it keeps, `holidays` one row per `calendar` × `local_day` with a `name`.
    """
    days = (
        stores.select("calendar")
        .distinct()
        .withColumn("local_day", sf.explode(sf.sequence(first_day, last_day)))
        .join(holidays, on=["calendar", "local_day"], how="full")
    )
    in_order = Window.partitionBy("calendar").orderBy("local_day")
    holiday = sf.when(sf.col("name").isNotNull(), sf.col("local_day"))
    latest = sf.last(holiday, ignorenulls=True).over(in_order.rowsBetween(Window.unboundedPreceding, 0))
    following = sf.first(holiday, ignorenulls=True).over(in_order.rowsBetween(0, Window.unboundedFollowing))
    told = (
        days.withColumn("days_since_holiday", sf.datediff("local_day", latest))
        .withColumn("days_to_holiday", sf.datediff(following, "local_day"))
        .where(sf.col("local_day").between(first_day, last_day))
        .withColumn("weekday", sf.weekday("local_day") + 1)
        .withColumn("month", sf.month("local_day"))
        .withColumn("is_holiday", sf.col("name").isNotNull())
        .withColumnRenamed("name", "holiday")
    )
    return told.join(stores, on="calendar", how="inner").select(*schemas.GOLD_CALENDAR.column_names)


def _own_rows(session: SparkSession, own: Sequence[OwnDay]) -> DataFrame:
    rows = [(each.store_id, each.day, each.name) for each in own]
    return session.createDataFrame(rows, "store_id string, day date, name string").coalesce(1)


def _years(first: dt.date, last: dt.date) -> range:
    return range(first.year - _YEARS_AROUND, last.year + _YEARS_AROUND + 1)
