"""gold.returns: which sale each returned unit most plausibly gives back: the latest one of the same store, product and unit price
that has a unit not given back yet.

Sales and returns of one store × product × price, in the order of their events, are a stack: a sale puts units on it, a return
takes the topmost off. Each unit lies at a height of its own, and a return takes that of each height from the latest sale before
it that put one there. So cumulative sums give every line its heights, and a join of intervals the sales. What a return takes
where the stack is empty was sold for another price, elsewhere, or before the lake begins: it is unmatched.
"""

from __future__ import annotations

from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from lake.schemas import GOLD_RETURNS

Link = Literal["matched", "unmatched"]
GROUP = ["store_id", "product_id", "unit_price"]
BAND_UNITS = 64  # heights are compared within bands of so many units: few sales share one, few sales lie in several
_ORDER = ["event_time_ms", "event_id", "line_number"]
_LINE = [*GROUP, *_ORDER, "event_time", "local_day"]
_HOUR_MS = 3_600_000


def returns(sales: DataFrame, first_day: Column) -> DataFrame:
    """One row per return line of `first_day` or later × the sale that it gives units back of, and one for the units of it that no
    sale fits, in the columns of gold.returns. `sales` is silver's lines, all of them.
    """
    taken = (sf.col("quantity") < 0) & (sf.col("local_day") >= first_day)
    concerned = sales.where(taken).select(*GROUP).distinct()
    lines = heights(sales.join(concerned, on=GROUP, how="leftsemi")).localCheckpoint()
    given_back = lines.where(taken)
    matched = matches(lines.where("quantity > 0"), given_back)
    link = {name: sf.col(name) for name in ("sale_event_id", "sale_line_number", "sold_at", "sold_ms", "units")}
    without = {"units": sf.col("unfitting"), "sale_event_id": _null("string"), "sale_line_number": _null("int")}
    without |= {"sold_at": _null("timestamp"), "sold_ms": _null("bigint")}
    unmatched = given_back.where("unfitting > 0")
    pieces = [
        rows.select(*_LINE, *(column.alias(name) for name, column in columns.items()), sf.lit(kind).alias("link"))
        for rows, columns, kind in ((matched, link, _kind("matched")), (unmatched, {**link, **without}, _kind("unmatched")))
    ]
    return (
        pieces[0]
        .unionByName(pieces[1])
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


def _null(kind: str) -> Column:
    return sf.lit(None).cast(kind)


def _kind(link: Link) -> str:
    return link
