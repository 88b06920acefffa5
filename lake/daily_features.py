"""Gold's days to the features of `demand_daily`: what a forecast of any later day may know when a local day begins."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from contracts.features import DEMAND_DAILY, features_of
from contracts.settings import Settings
from lake import local_days
from lake.stock import SERIES

YEAR_DAYS = 364  # whole weeks, so that every weekday weighs the same
WEEKDAYS = range(7)  # Monday first


def demand_daily(daily: DataFrame, settings: Settings) -> DataFrame:
    """One row per store × product × local day on sale: the features as of the first instant of the day (`as_of_ms`).

    Only days before it are used. Means are over the days on sale in their span, null where there is none.
    """
    zone = local_days.zone_of(sf.col("store_id"), settings)
    days = daily.withColumn("day", sf.unix_date("local_day")).withColumn("weekday", sf.weekday("local_day"))
    columns = _columns()
    return days.select(
        *SERIES,
        local_days.day_start_ms(sf.col("local_day"), zone).alias("as_of_ms"),
        *(columns[feature.name].alias(feature.name) for feature in features_of(DEMAND_DAILY.name)),
    )


def _before(column: Column, days: int, until: int = 1) -> Column:
    """A column aggregated over the rows from `days` to `until` days before the row's own."""
    return column.over(Window.partitionBy(*SERIES).orderBy("day").rangeBetween(-days, -until))


def _lag(days: int) -> Column:
    return _before(sf.max("demand"), days, days)


def _mean(days: int) -> Column:
    return _before(sf.avg("demand"), days)


def _columns() -> dict[str, Column]:
    # NaN, not null, for a weekday that is not known: the online store's lists hold no nulls
    of_weekday = [
        sf.coalesce(_before(sf.avg(sf.when(sf.col("weekday") == weekday, sf.col("demand"))), 28), sf.lit(float("nan")))
        for weekday in WEEKDAYS
    ]
    return {
        "demand_lag_1d": _lag(1),
        "demand_lag_7d": _lag(7),
        "demand_lag_14d": _lag(14),
        "demand_mean_7d": _mean(7),
        "demand_mean_28d": _mean(28),
        "demand_mean_364d": _mean(YEAR_DAYS),
        "weekday_mean_4w": sf.array(*of_weekday),
        "selling_share_28d": _before(sf.avg((sf.col("units") > 0).cast("double")), 28),
        "in_stock_share_28d": _before(sf.avg("in_stock"), 28),
        "days_on_sale": _before(sf.count("demand"), YEAR_DAYS),
    }
