"""Silver to gold.daily, DataFrame to DataFrame: one row per store × product × store-local day on sale, true zeros included."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from contracts.request_features import OPEN_ENDED
from contracts.settings import Settings
from contracts.topics import ALL_STORES
from lake import local_days
from lake.demand import LOOKBACK_DAYS, as_sold, with_demand
from lake.schemas import GOLD_DAILY
from lake.stock import SERIES, with_stock, without_stock

SUMS = ("units", "returned_units", "sales_cents", "refund_cents", "receipts", "promotion_units")


def daily(
    sales: DataFrame,
    inventory: DataFrame,
    prices: DataFrame,
    settings: Settings,
    first_day: Column,
    latest_ms: int,
    last_day: dt.date | None = None,
) -> DataFrame:
    """The rows of gold.daily from `first_day` on (a date column), to `last_day` where given, as of the latest sale, `latest_ms`.

    The rows to `last_day` are the same with and without it: no event of a later day changes them.
    """
    needed_from = sf.date_sub(first_day, LOOKBACK_DAYS)
    until, stock_until_ms = sf.lit(last_day or dt.date.max), latest_ms
    if last_day is not None:
        beyond = dt.datetime.combine(last_day + dt.timedelta(days=2), dt.time(), dt.UTC)  # the day has ended in every zone
        stock_until_ms = min(latest_ms, int(beyond.timestamp() * 1000))
    zone = local_days.zone_of(sf.col("store_id"), settings)
    day_end = local_days.day_start_ms(sf.date_add("local_day", 1), zone)
    series = told_apart(on_sale(sales, inventory, needed_from, until), inventory, prices)
    sold_days = sold(sales.where(sf.col("local_day").between(needed_from, until)))
    by_sales, by_more = (complete(series.where(which), sold_days) for which in ("NOT more_is_known", "more_is_known"))
    by_more = with_stock(by_more, inventory, settings, needed_from, stock_until_ms)
    by_more = with_price(with_demand(by_more.withColumn("complete", day_end <= latest_ms)), prices)
    by_sales = without_stock(by_sales).withColumn("complete", day_end <= latest_ms)
    rows = without_price(as_sold(by_sales)).unionByName(by_more)
    return rows.where(sf.col("local_day") >= first_day).select(*GOLD_DAILY.column_names)


def told_apart(series: DataFrame, inventory: DataFrame, prices: DataFrame) -> DataFrame:
    """Rows per store × product with `more_is_known` added: whether there is any stock event or price plan of it.

    Of the others a day's sales are all that there is: they need no joins and no windows, however many days they have.
    """
    stocked = inventory.select(*SERIES, sf.lit(True).alias("stocked")).distinct()
    priced = prices.select("product_id", sf.lit(True).alias("priced")).distinct()
    return (
        series.join(stocked, on=SERIES, how="left")
        .join(priced, on="product_id", how="left")
        .select(*series.columns, sf.coalesce("stocked", "priced", sf.lit(False)).alias("more_is_known"))
    )


def sold(sales: DataFrame) -> DataFrame:
    """One row per store × product × local day with a receipt line: the sums of the catalogue's sales values."""
    quantity, value = sf.col("quantity"), sf.col("quantity") * sf.col("unit_price")
    sells = quantity > 0
    a_receipt = sales.groupBy(*SERIES, "local_day", "event_id").agg(
        sf.sum(sf.when(sells, quantity).otherwise(0)).alias("units"),
        sf.sum(sf.when(sells, 0).otherwise(-quantity)).alias("returned_units"),
        sf.sum(sf.when(sells, value).otherwise(0)).alias("sales_cents"),
        sf.sum(sf.when(sells, 0).otherwise(-value)).alias("refund_cents"),
        sf.sum(sf.when(sells & sf.col("promotion_id").isNotNull(), quantity).otherwise(0)).alias("promotion_units"),
    )
    sums = [sf.sum(name).alias(name) for name in SUMS if name != "receipts"]
    receipts = sf.count_if(sf.col("units") > 0).alias("receipts")
    return a_receipt.groupBy(*SERIES, "local_day").agg(*sums, receipts).select(*SERIES, "local_day", *SUMS)


def on_sale(sales: DataFrame, inventory: DataFrame, first_day: Column, last_day: Column) -> DataFrame:
    """One row per store × product on sale between two days: from `starts`, at the earliest `first_day`, to `ends`, at the latest
    `last_day`.

    A product is on sale from its first receipt line or its first count above zero to the last day its store sold anything.
    """
    begins = sales.select(*SERIES, "local_day").union(
        inventory.where((sf.col("kind") == "count") & (sf.col("quantity") > 0)).select(*SERIES, "local_day")
    )
    first = begins.groupBy(*SERIES).agg(sf.min("local_day").alias("begins"))
    last = sales.groupBy("store_id").agg(sf.max("local_day").alias("ends"))
    return (
        first.join(last, on="store_id", how="inner")
        .select(*SERIES, sf.greatest("begins", first_day).alias("starts"), sf.least("ends", last_day).alias("ends"))
        .where(sf.col("ends") >= sf.col("starts"))
    )


def complete(series: DataFrame, sold_days: DataFrame) -> DataFrame:
    """One row per store × product × local day on sale: the sums of `sold_days`, zeros where it sold nothing.

    A day with a sale brings the empty days up to the next one with it, so that these are never sorted or joined: in a large
    assortment they are nearly all.
    """
    opening = series.select(*SERIES, "ends", sf.col("starts").alias("local_day"), *(sf.lit(0).alias(name) for name in SUMS))
    selling = sold_days.join(series.select(*SERIES, "ends"), on=SERIES, how="inner").select(*opening.columns)
    days = opening.union(selling).groupBy(*SERIES, "ends", "local_day").agg(*(sf.sum(name).alias(name) for name in SUMS))
    following = sf.lead("local_day").over(Window.partitionBy(*SERIES).orderBy("local_day"))
    until = sf.coalesce(sf.date_sub(following, 1), sf.col("ends"))
    spread = days.withColumn("until", until).withColumn("day", sf.explode(sf.sequence("local_day", "until")))
    on_the_day = sf.col("day") == sf.col("local_day")
    sums = (sf.when(on_the_day, sf.col(name)).otherwise(0).alias(name) for name in SUMS)
    return spread.select(*SERIES, sf.col("day").alias("local_day"), *sums)


def without_price(days: DataFrame) -> DataFrame:
    """Rows per store × product × local day with the columns of `with_price`, for products that have no plan."""
    return days.select(
        *days.columns,
        sf.lit(None).cast("bigint").alias("price"),
        sf.lit(None).cast("bigint").alias("list_price"),
        sf.lit(False).alias("promoted"),
        sf.lit(None).cast("string").alias("promotion_id"),
    )


def with_price(days: DataFrame, prices: DataFrame) -> DataFrame:
    """Rows per store × product × local day with the planned `price`, `list_price` (cents, null unknown), `promoted` and
    the `promotion_id` of the plan (null: none) added.

    A store's own plans beat those for all stores; then a bounded plan beats an open-ended one, then the later start, then the
    later announcement: the precedence of `contracts.request_features`.
    """
    bounded = sf.col("valid_to").isNotNull()
    plans = prices.select(
        sf.col("product_id").alias("plan_product"),
        sf.col("store_id").alias("plan_store"),
        "valid_from",
        "valid_to",
        sf.struct(
            (sf.col("store_id") != ALL_STORES).alias("own"),
            bounded.alias("bounded"),
            "valid_from",
            sf.col("event_time_ms").alias("announced_ms"),
            "event_id",
            sf.coalesce(sf.unix_date("valid_to"), sf.lit(OPEN_ENDED)).alias("last_day"),
            "price",
            "list_price",
            "promotion_id",
        ).alias("plan"),
    )
    keys = [*SERIES, "local_day"]
    holds = (
        (sf.col("product_id") == sf.col("plan_product"))
        & ((sf.col("plan_store") == sf.col("store_id")) | (sf.col("plan_store") == ALL_STORES))
        & (sf.col("local_day") >= sf.col("valid_from"))
        & (sf.col("valid_to").isNull() | (sf.col("local_day") <= sf.col("valid_to")))
    )
    strongest = days.select(*keys).join(plans, on=holds, how="inner").groupBy(*keys).agg(sf.max("plan").alias("plan"))
    return days.join(strongest, on=keys, how="left").select(
        *days.columns,
        sf.col("plan.price").alias("price"),
        sf.col("plan.list_price").alias("list_price"),
        sf.col("plan.promotion_id").isNotNull().alias("promoted"),
        sf.col("plan.promotion_id").alias("promotion_id"),
    )
