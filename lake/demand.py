"""Demand of a day from its sales: what customers would have bought, where the shelf was empty for a part of the day.

A day in stock, or of unknown stock, sold what was wanted. For a day that was out of stock for a share `o`, `o² × level` is added:
a full day out is replaced by the level, a part of a day adds less than its share, because days run out on which more is bought
than usual and scaling such days by their hours overshoots. The level is the mean of the same weekday over the last 28 days not
known to be out of stock, drawn towards the mean of all such days as far as there are few of them. Only earlier days are used.
"""

from __future__ import annotations

from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

LOOKBACK_DAYS = 28
PRIOR_DAYS = 4  # the mean of all days weighs as much as so many days of the weekday: as many as the lookback can hold

Reason = Literal["observed", "running", "out_of_stock", "partly_out_of_stock", "no_history"]


def with_demand(days: DataFrame) -> DataFrame:
    """Rows per store × product × local day with `demand` and `demand_reason` added.

    Needs `units`, `in_stock` (share of the day, null unknown) and `complete`, and the 28 days before the first day of interest.
    """
    out = 1 - sf.col("in_stock")
    missed = sf.col("complete") & (sf.col("in_stock") < 1)
    estimate = sf.col("units") + out * out * sf.col("level")
    return (
        days.withColumn("level", _level())
        .withColumn("demand", sf.when(missed & sf.col("level").isNotNull(), estimate).otherwise(sf.col("units").cast("double")))
        .withColumn(
            "demand_reason",
            _named("running", ~sf.col("complete"))
            .when(~sf.coalesce(missed, sf.lit(False)), _reason("observed"))
            .when(sf.col("level").isNull(), _reason("no_history"))
            .when(sf.col("in_stock") == 0, _reason("out_of_stock"))
            .otherwise(_reason("partly_out_of_stock")),
        )
        .select(*days.columns, "demand", "demand_reason")
    )


def as_sold(days: DataFrame) -> DataFrame:
    """What `with_demand` gives for series of unknown stock: rows whose `demand` is what was sold."""
    return days.select(
        *days.columns,
        sf.col("units").cast("double").alias("demand"),
        _named("running", ~sf.col("complete")).otherwise(_reason("observed")).alias("demand_reason"),
    )


def _level() -> Column:
    usable = sf.coalesce(sf.col("in_stock") == 1, sf.lit(True))
    units = sf.when(usable, sf.col("units"))
    day_number = sf.datediff("local_day", sf.lit("1970-01-01").cast("date"))
    series = Window.partitionBy("store_id", "product_id").orderBy(day_number).rangeBetween(-LOOKBACK_DAYS, -1)
    weekday = sf.dayofweek("local_day")
    same = Window.partitionBy("store_id", "product_id", weekday).orderBy(day_number).rangeBetween(-LOOKBACK_DAYS, -1)
    mean = sf.sum(units).over(series) / sf.nullif(sf.count(units).over(series), sf.lit(0))
    of_weekday = sf.coalesce(sf.sum(units).over(same), sf.lit(0))
    return (of_weekday + PRIOR_DAYS * mean) / (sf.count(units).over(same) + PRIOR_DAYS)


def _reason(reason: Reason) -> Column:
    return sf.lit(reason)


def _named(reason: Reason, condition: Column) -> Column:
    return sf.when(condition, sf.lit(reason))
