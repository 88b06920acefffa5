"""Which sale a returned line gives back where the line says so itself (`sale_id`): nothing is guessed."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

RECEIPT = ["store_id", "product_id", "sale_id"]
ORDER = ["event_time_ms", "event_id", "line_number"]


def links(sales: DataFrame, concerned_day: Column) -> DataFrame:
    """One row per returned line of a `concerned_day` that names a sale: the line's columns, how many units of it the sale has
    (`units`) and has not (`unfitting`), and the sale's first line of the product, null where no such sale was before it.

    A sale's units go to the returns that name it in their order. `sales` is silver's lines, all of them.
    """
    naming = sales.where("quantity < 0 AND sale_id IS NOT NULL")
    named = naming.select(*RECEIPT).distinct()
    sold = (
        sales.where("quantity > 0")
        .drop("sale_id")
        .withColumnRenamed("event_id", "sale_id")
        .join(named, on=RECEIPT, how="leftsemi")
        .groupBy(*RECEIPT)
        .agg(
            sf.sum("quantity").alias("sold_units"),
            sf.min("line_number").alias("sale_line_number"),
            sf.min("event_time").alias("sold_at"),
            sf.min("event_time_ms").alias("sold_ms"),
        )
    )
    met = naming.join(sold, on=RECEIPT, how="left").withColumn("is_before", sf.col("sold_ms") <= sf.col("event_time_ms"))
    earlier = Window.partitionBy(*RECEIPT, "is_before").orderBy(*ORDER).rowsBetween(Window.unboundedPreceding, -1)
    asked_before = sf.coalesce(sf.sum(-sf.col("quantity")).over(earlier), sf.lit(0))
    wanted, left = -sf.col("quantity"), sf.greatest(sf.col("sold_units") - asked_before, sf.lit(0))
    units = sf.when(sf.col("is_before"), sf.least(wanted, left)).otherwise(0)
    return (
        met.withColumn("units", units)
        .withColumn("unfitting", wanted - sf.col("units"))
        .withColumn("sale_event_id", sf.col("sale_id"))
        .where(concerned_day)
    )
