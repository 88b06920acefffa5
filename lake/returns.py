"""gold.returns: which sale each returned unit gives back. That which its line names; else the most plausible one: the latest of
the same store, product and unit price that has a unit not given back yet.

Sales and returns of one store × product × price, in the order of their events, are a stack: a sale puts units on it, a return
takes the topmost off. Each unit lies at a height of its own, and a return takes that of each height from the latest sale before
it that put one there. So cumulative sums give every line its heights, and a join of intervals the sales. What a return takes
where the stack is empty was sold for another price, elsewhere, or before the lake begins: it is unmatched. A return that names
its sale takes a unit off too, so that as many are left, but what its line says counts.
"""

from __future__ import annotations

from functools import reduce
from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from lake import named_returns
from lake.cluster import computed_once
from lake.schemas import GOLD_RETURNS

Link = Literal["named", "matched", "unmatched"]
GROUP = ["store_id", "product_id", "unit_price"]
BAND_UNITS = 64  # heights are compared within bands of so many units: few sales share one, few sales lie in several
_ORDER = ["event_time_ms", "event_id", "line_number"]
_LINE = [*GROUP, *_ORDER, "event_time", "local_day"]
_SALE = {"sale_event_id": "string", "sale_line_number": "int", "sold_at": "timestamp", "sold_ms": "bigint"}
_HOUR_MS = 3_600_000


def returns(sales: DataFrame, concerned_day: Column) -> DataFrame:
    """One row per return line of the days for which `concerned_day` is true × the sale that it gives units back of, and one for
    the units of it that no sale fits, in the columns of gold.returns. `sales` is silver's lines, all of them.
    """
    taken = (sf.col("quantity") < 0) & sf.col("sale_id").isNull() & concerned_day
    concerned = sales.where(taken).select(*GROUP).distinct()
    lines = computed_once(heights(sales.join(concerned, on=GROUP, how="leftsemi")))
    given_back = lines.where(taken)
    named = named_returns.links(sales, concerned_day)
    pieces = [
        _pieces(matches(lines.where("quantity > 0"), given_back), "matched"),
        _pieces(named.where("units > 0"), "named"),
        *(_pieces(_without_sale(rows.where("unfitting > 0")), "unmatched") for rows in (given_back, named)),
    ]
    return (
        reduce(DataFrame.unionByName, pieces)
        .withColumn("refund_cents", sf.col("units") * sf.col("unit_price"))
        .withColumn("hours", (sf.col("event_time_ms") - sf.col("sold_ms")) / _HOUR_MS)
        .withColumnRenamed("event_time", "returned_at")
        .select(*GOLD_RETURNS.column_names)
    )


def heights(lines: DataFrame) -> DataFrame:
    """Lines with the heights `low` to `high` that they put on the stack of their group or take off it, and the units `unfitting`
    for which it was empty.
    """
    so_far = Window.partitionBy(*GROUP).orderBy(*_ORDER).rowsBetween(Window.unboundedPreceding, 0)
    before = Window.partitionBy(*GROUP).orderBy(*_ORDER).rowsBetween(Window.unboundedPreceding, -1)
    # a walk that is held at zero is the free one less its lowest point below zero
    return (
        lines.withColumn("walk", sf.sum("quantity").over(so_far))
        .withColumn("floor", sf.least(sf.min("walk").over(so_far), sf.lit(0)))
        .withColumn("floor_before", sf.least(sf.coalesce(sf.min("walk").over(before), sf.lit(0)), sf.lit(0)))
        .withColumn("after", sf.col("walk") - sf.col("floor"))
        .withColumn("was", sf.col("walk") - sf.col("quantity") - sf.col("floor_before"))
        .select(
            *_LINE,
            "quantity",
            "sale_id",
            sf.least("was", "after").alias("low"),
            sf.greatest("was", "after").alias("high"),
            (sf.col("floor_before") - sf.col("floor")).alias("unfitting"),
        )
    )


def matches(sold: DataFrame, given_back: DataFrame) -> DataFrame:
    """One row per returned line × sale that it takes units of: how many (`units`), and the sale's event, line and time."""
    put = sold.select(
        *GROUP,
        sf.struct(*_ORDER).alias("sale"),
        sf.col("event_time").alias("sold_at"),
        sf.col("low").alias("sale_low"),
        sf.col("high").alias("sale_high"),
        _bands().alias("band"),
    )
    took = given_back.where("high > low").withColumn("return", sf.struct(*_ORDER)).withColumn("band", _bands())
    meet = (sf.col("sale_low") < sf.col("high")) & (sf.col("low") < sf.col("sale_high")) & (sf.col("sale") < sf.col("return"))
    once = sf.col("band") == sf.greatest(_band("low"), _band("sale_low"))  # both may lie in several of the same bands
    # a later sale lies on an earlier one from its low on: of this one only what is below is still there
    later = Window.partitionBy(*GROUP, "return").orderBy(sf.desc("sale")).rowsBetween(Window.unboundedPreceding, -1)
    top = sf.least("high", "sale_high", sf.coalesce(sf.min("sale_low").over(later), sf.col("high")))
    return (
        took.join(put, on=[*GROUP, "band"], how="inner")
        .where(meet & once)
        .withColumn("units", top - sf.greatest("low", "sale_low"))
        .where("units > 0")
        .withColumn("sale_event_id", sf.col("sale.event_id"))
        .withColumn("sale_line_number", sf.col("sale.line_number"))
        .withColumn("sold_ms", sf.col("sale.event_time_ms"))
    )


def _bands() -> Column:
    return sf.explode(sf.sequence(_band("low"), sf.floor((sf.col("high") - 1) / BAND_UNITS)))


def _band(name: str) -> Column:
    return sf.floor(sf.col(name) / BAND_UNITS)


def _pieces(rows: DataFrame, link: Link) -> DataFrame:
    return rows.select(*_LINE, "units", *_SALE, sf.lit(link).alias("link"))


def _without_sale(rows: DataFrame) -> DataFrame:
    nothing = {name: sf.lit(None).cast(kind) for name, kind in _SALE.items()}
    return rows.withColumns({"units": sf.col("unfitting"), **nothing})
