"""The stock of each local day: how much of it a product was there, what is left, what came, from counts and movements in time.

Stock on hand after an event is the latest count, by (event_time, event_id), plus the movements since. Before the first count
nothing is known: movements alone do not make a stock. Sales are not subtracted: a stock-out is seen when it is counted.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import local_days

SERIES = ["store_id", "product_id"]
_MOVED_BY = {"receipt": "received_units", "adjustment": "adjusted_units", "transfer": "transferred_units"}  # kind -> its column
MOVEMENTS = tuple(_MOVED_BY.values())


def with_stock(days: DataFrame, inventory: DataFrame, settings: Settings, first_day: Column, latest_ms: int) -> DataFrame:
    """Rows per store × product × local day, none before `first_day`, with what `known_stock` and `moved` say of the day added:
    null where the stock is not known, zeros where nothing moved.
    """
    return (
        days.join(known_stock(inventory, settings, first_day, latest_ms), on=[*SERIES, "local_day"], how="left")
        .join(moved(inventory, first_day, latest_ms), on=[*SERIES, "local_day"], how="left")
        .fillna(0, subset=list(MOVEMENTS))
    )


def without_stock(days: DataFrame) -> DataFrame:
    """Rows with the columns of `with_stock`, for series of which there is no stock event."""
    return days.select(
        *days.columns,
        sf.lit(None).cast("double").alias("in_stock"),
        sf.lit(None).cast("bigint").alias("closing_on_hand"),
        sf.lit(None).cast("timestamp").alias("counted_at"),
        *(sf.lit(0).cast("bigint").alias(name) for name in MOVEMENTS),
    )


def on_hand(inventory: DataFrame) -> DataFrame:
    """One row per event from the first count on: from `from_ms` until `until_ms` (null: still) `on_hand` units are there, as
    reckoned from the count at `counted_ms`.
    """
    in_order = Window.partitionBy(*SERIES).orderBy("event_time_ms", "event_id")
    since_count = Window.partitionBy(*SERIES, "count_number").orderBy("event_time_ms", "event_id")
    return (
        inventory.withColumn("count_number", sf.sum((sf.col("kind") == "count").cast("int")).over(in_order))
        .withColumn("until_ms", sf.lead("event_time_ms").over(in_order))
        .where(sf.col("count_number") > 0)
        .withColumn("on_hand", sf.sum("quantity").over(since_count.rowsBetween(Window.unboundedPreceding, 0)))
        .withColumn("counted_ms", sf.min("event_time_ms").over(since_count.rowsBetween(Window.unboundedPreceding, 0)))
        .select(*SERIES, sf.col("event_time_ms").alias("from_ms"), "until_ms", "on_hand", "counted_ms")
    )


def known_stock(inventory: DataFrame, settings: Settings, first_day: Column, latest_ms: int) -> DataFrame:
    """One row per store × product × local day from `first_day` to that of `latest_ms` with a known stock.

    `in_stock` is the share of the day's known time, up to `latest_ms`, with units on hand; `closing_on_hand` the units when the
    day, or what is known of it, ends; `counted_at` the instant of the count that they are reckoned from.
    """
    zone = local_days.zone_of(sf.col("store_id"), settings)
    end = sf.coalesce(sf.col("until_ms"), sf.lit(latest_ms))
    spans = (
        on_hand(inventory)
        .withColumn("end_ms", sf.least(end, sf.lit(latest_ms)))
        .where(sf.col("end_ms") > sf.col("from_ms"))
        .withColumn("zone", zone)
        .withColumn("span_first", local_days.local_day(sf.timestamp_millis("from_ms"), sf.col("zone")))
        .withColumn("span_last", local_days.local_day(sf.timestamp_millis(sf.col("end_ms") - 1), sf.col("zone")))
        .where(sf.col("span_last") >= first_day)
    )
    pieces = (
        spans.withColumn("local_day", sf.explode(sf.sequence(sf.greatest("span_first", first_day), "span_last")))
        .withColumn("day_start", local_days.day_start_ms(sf.col("local_day"), sf.col("zone")))
        .withColumn("day_end", local_days.day_start_ms(sf.date_add("local_day", 1), sf.col("zone")))
        .withColumn("known_ms", sf.least("end_ms", "day_end") - sf.greatest("from_ms", "day_start"))
    )
    stocked = sf.sum(sf.when(sf.col("on_hand") > 0, sf.col("known_ms")).otherwise(0))
    return (
        pieces.groupBy(*SERIES, "local_day")
        .agg(
            (stocked / sf.sum("known_ms")).alias("in_stock"),
            sf.max_by("on_hand", "from_ms").alias("closing_on_hand"),
            sf.timestamp_millis(sf.max_by("counted_ms", "from_ms")).alias("counted_at"),
        )
        .select(*SERIES, "local_day", "in_stock", "closing_on_hand", "counted_at")
    )


def moved(inventory: DataFrame, first_day: Column, latest_ms: int) -> DataFrame:
    """One row per store × product × local day from `first_day` on with a movement before `latest_ms`: the net units of each kind.

    Negative: more was written off than added, or sent to other stores than came from them.
    """
    movements = inventory.where((sf.col("local_day") >= first_day) & (sf.col("event_time_ms") < latest_ms))
    return (
        movements.where(sf.col("kind") != "count")
        .groupBy(*SERIES, "local_day")
        .agg(*(_units_of(kind).alias(column) for kind, column in _MOVED_BY.items()))
        .select(*SERIES, "local_day", *MOVEMENTS)
    )


def _units_of(kind: str) -> Column:
    return sf.sum(sf.when(sf.col("kind") == kind, sf.col("quantity")).otherwise(0))
