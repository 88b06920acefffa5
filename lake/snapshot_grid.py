"""The instants at which training rows are taken: some local hours of every day on which a product is on sale."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as sf

from contracts.settings import Settings
from contracts.topics import ALL_STORES
from lake import local_days
from lake.features import QUESTION
from lake.stock import SERIES


def snapshots(daily: DataFrame, settings: Settings, latest_ms: int) -> DataFrame:
    """One question per store × product × local day of gold.daily × snapshot hour, up to the latest event.

    Where a clock change skips the hour, the instant is the one at which the clocks were put forward, once.
    """
    zone = local_days.zone_of(sf.col("store_id"), settings)
    midnight = sf.unix_seconds(sf.col("local_day").cast("timestamp"))
    walls = [sf.timestamp_seconds(midnight + sf.lit(hour * 3600)) for hour in settings.snapshot_hours]
    instants = sf.array_distinct(sf.array(*(sf.unix_millis(sf.to_utc_timestamp(wall, zone)) for wall in walls)))
    return (
        daily.select(*SERIES, sf.explode(instants).alias("as_of_ms"))
        .where(sf.col("as_of_ms") <= latest_ms)
        .select(*SERIES, "as_of_ms", sf.col("as_of_ms").alias("head_ms"))
    )


def with_all_stores(questions: DataFrame) -> DataFrame:
    """The questions, and for each product one for all stores at every instant at which any store asks."""
    for_all = questions.select(sf.lit(ALL_STORES).alias("store_id"), "product_id", "as_of_ms", "head_ms").distinct()
    return questions.unionByName(for_all).select(*QUESTION)


def of_categories(of_stores: DataFrame, in_categories: DataFrame) -> DataFrame:
    """One question per store × category and instant of its store, from the first sale under it on. `in_categories` are the
    sales that count in one."""
    known = in_categories.groupBy("store_id", "category_id").agg(sf.min("event_time_ms").alias("first_ms"))
    return (
        of_stores.join(known, on="store_id", how="inner")
        .where(sf.col("first_ms") <= sf.col("as_of_ms"))
        .select("store_id", "category_id", "as_of_ms", "head_ms")
    )


def of_stores(questions: DataFrame) -> DataFrame:
    """One question per store and instant at which any of its products is asked for."""
    return questions.select("store_id", "as_of_ms", "head_ms").distinct()
