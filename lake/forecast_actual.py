"""gold.forecast_actual, DataFrame to DataFrame: what was forecast, by what was then demanded.

It holds what came after each forecast's as-of time: no feature and no training row may be made of it.
"""

from __future__ import annotations

import re
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import local_days
from lake.schemas import GOLD_FORECAST_ACTUAL
from lake.stock import SERIES

Source = Literal["served", "scored"]
_DAY = [*SERIES, "target_day"]
_FORECAST = [*_DAY, "source", "event_id", "as_of_ms", "model_name", "model_version", "fallback", "mean", "quantiles"]


def served(forecasts: DataFrame) -> DataFrame:
    """One row per answered forecast × target day, of silver.forecasts; each answer counts, also where one is asked twice."""
    return forecasts.where("target_day IS NOT NULL").withColumn("source", _source("served")).select(*_FORECAST)


def scored(forecasts: DataFrame) -> DataFrame:
    """One row per model version × store × product × as of × target day, of gold.forecasts; its columns q05 to q975 as a map."""
    columns = {f"{float(f'0.{name[1:]}'):g}": name for name in forecasts.columns if re.fullmatch(r"q\d+", name)}
    levels, values = (sf.array(*(sf.lit(level) for level in columns)), sf.array(*(sf.col(name) for name in columns.values())))
    missing = {name: sf.lit(None).cast("string") for name in ("event_id", "fallback")}
    known = sf.map_filter(sf.map_from_arrays(levels, values), lambda _, value: value.isNotNull())
    return forecasts.withColumns({**missing, "source": _source("scored"), "quantiles": known}).select(*_FORECAST)


def judged(forecasts: DataFrame, daily: DataFrame, sales: DataFrame, settings: Settings) -> DataFrame:
    """The forecasts, row by row, in the columns of gold.forecast_actual. `daily` is gold's, `sales` silver's lines.

    `actual` is what a forecast is of, in units: the demand of the target day; of the as-of day only what was left of it, its
    demand less the units sold by then (`sold_by_as_of`), as training's targets are. `error` is forecast - actual. It,
    `absolute_error` and `pinball` are null where the day is not complete, or was over before the as-of time.

    Pinball loss of a quantile q at level a: max(a (y - q), (a - 1) (y - q)) (Koenker & Bassett 1978), as in `training.metrics`.
    """
    as_of = sf.timestamp_millis("as_of_ms")
    as_of_day = local_days.local_day(as_of, local_days.zone_of(sf.col("store_id"), settings))
    asked = forecasts.withColumn("as_of", as_of).withColumn("horizon_days", sf.datediff("target_day", as_of_day))
    came = daily.select(*SERIES, sf.col("local_day").alias("target_day"), "units", "demand", "in_stock", "complete")
    left = sf.col("demand") - sf.coalesce("sold_by_as_of", sf.lit(0))
    left = sf.when(left < 0, sf.lit(0.0)).otherwise(left)  # `greatest` would make 0 of an unknown demand
    is_judged = sf.col("complete") & (sf.col("horizon_days") >= 0)
    return (
        asked.join(came, on=_DAY, how="left")
        .join(sold_by_as_of(asked.where("horizon_days = 0"), sales), on=[*_DAY, "as_of_ms"], how="left")
        .withColumn("complete", sf.coalesce("complete", sf.lit(False)))
        .withColumn("actual", sf.when(sf.col("horizon_days") == 0, left).otherwise(sf.col("demand")))
        .withColumn("error", sf.when(is_judged, sf.col("mean") - sf.col("actual")))
        .withColumn("absolute_error", sf.abs("error"))
        .withColumn("pinball", sf.when(is_judged, sf.transform_values("quantiles", _pinball)))
        .select(*GOLD_FORECAST_ACTUAL.column_names)
    )


def sold_by_as_of(asked: DataFrame, sales: DataFrame) -> DataFrame:
    """One row per store × product × target day × as-of time of which anything was sold on that day by then: how many units."""
    moments = asked.select(*_DAY, "as_of_ms").distinct()
    lines = sales.where("quantity > 0").select(*SERIES, sf.col("local_day").alias("target_day"), "event_time_ms", "quantity")
    return (
        moments.join(lines, on=_DAY, how="inner")
        .where("event_time_ms <= as_of_ms")
        .groupBy(*_DAY, "as_of_ms")
        .agg(sf.sum("quantity").alias("sold_by_as_of"))
    )


def _pinball(level: Column, quantile: Column) -> Column:
    share, gap = level.try_cast("double"), sf.col("actual") - quantile
    return sf.greatest(share * gap, (share - 1) * gap)


def _source(name: Source) -> Column:
    return sf.lit(name)
