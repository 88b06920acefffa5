"""The streaming views recomputed by Spark from silver, as of any instant: what the stream must equal, to the last digit.

It shares the catalogue with the stream and none of its code: windows here are differences of running totals (`lake.rolling`),
there merges of tiles. Sums are integers, ratios one double division of the same integers, so both sides give the same bits.

A question is a row with the view's keys and `as_of_ms`. Events at or before `head_ms` count; windows begin as of `as_of_ms`. For
training rows the two are the same instant. Parity, which fences events by offset, sets `head_ms` to the end of time.
"""

from __future__ import annotations

from functools import partial

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as sf

from contracts.aggregates import SALES_VALUES
from contracts.features import (
    CATEGORY_ROLLING,
    ENTITY_KEYS,
    PRICE_PLAN,
    SALES_ROLLING,
    STOCK,
    STORE_ROLLING,
    View,
    features_of,
)
from contracts.request_features import OPEN_ENDED
from contracts.settings import Settings
from contracts.windows import DAY_MS, HOUR_MS, WINDOWS
from contracts.windows import Window as RollingWindow
from lake import local_days, rolling
from lake.rolling import SAME_HOURS
from lake.schemas import SPARK_TYPES
from lake.stock import SERIES

QUESTION = [*SERIES, "as_of_ms", "head_ms"]
END_OF_TIME_MS = 2**62  # later than any event
_BUCKET_ROWS = 250_000  # events that are looked at together: some tens of MB in each Python worker


def buckets(events: int) -> int:
    """In how many parts so many events are looked at."""
    return events // _BUCKET_ROWS + 1


def under_categories(sales: DataFrame) -> DataFrame:
    """One row per receipt line that counts in a category."""
    return sales.where(sf.col("category_id").isNotNull())


def _values() -> dict[str, Column]:
    """SALES_VALUES of a group of receipt lines: `receipts` is 1 where any of them sells, so it is for those of one receipt."""
    quantity, value = sf.col("quantity"), sf.col("quantity") * sf.col("unit_price")
    sells = quantity > 0
    found = {
        "units": sf.sum(sf.when(sells, quantity).otherwise(0)),
        "returned_units": sf.sum(sf.when(sells, 0).otherwise(-quantity)),
        "sales_cents": sf.sum(sf.when(sells, value).otherwise(0)),
        "refund_cents": sf.sum(sf.when(sells, 0).otherwise(-value)),
        "receipts": sf.max(sf.when(sells, 1).otherwise(0)).cast("bigint"),
        "promotion_units": sf.sum(sf.when(sells & sf.col("promotion_id").isNotNull(), quantity).otherwise(0)),
    }
    return {name: found[name] for name in SALES_VALUES}


def sales_rolling(questions: DataFrame, sales: DataFrame, settings: Settings, buckets: int = 1) -> DataFrame:
    """One row per question: the features of `sales_rolling`. Questions are store_id, product_id, as_of_ms, head_ms."""
    promoted = sf.col("promotion_id").isNotNull().alias("promoted")
    lines = sales.select(*SERIES, sf.col("event_time_ms").alias("at_ms"), "event_id", "quantity", "unit_price", promoted)
    return _rolling(SALES_ROLLING, questions, lines, settings, buckets)


def store_rolling(questions: DataFrame, sales: DataFrame, settings: Settings, buckets: int = 1) -> DataFrame:
    """One row per question: the features of `store_rolling`. Questions are store_id, as_of_ms, head_ms."""
    return _sums(STORE_ROLLING, questions, sales, settings, buckets)


def category_rolling(questions: DataFrame, sales: DataFrame, settings: Settings, buckets: int = 1) -> DataFrame:
    """One row per question: the features of `category_rolling`. Questions are store_id, category_id, as_of_ms, head_ms; sales are
    `under_categories`."""
    return _sums(CATEGORY_ROLLING, questions, sales, settings, buckets)


def _sums(view: View, questions: DataFrame, sales: DataFrame, settings: Settings, buckets: int) -> DataFrame:
    """One row per question: the features of a view over products. Of how many receipts there were it knows nothing."""
    keys = [ENTITY_KEYS[entity] for entity in view.entities]
    values = (value.alias(name) for name, value in _values().items())
    together = sales.groupBy(*keys, sf.col("event_time_ms").alias("at_ms")).agg(*values)
    return _rolling(view, questions, together, settings, buckets)


def _rolling(view: View, questions: DataFrame, events: DataFrame, settings: Settings, buckets: int) -> DataFrame:
    """One row per question: a view's windows over the events of its keys, in so many `buckets`, each looked at as a whole."""
    features, keys = features_of(view.name), [ENTITY_KEYS[entity] for entity in view.entities]
    asked = _with_edges(questions.select(*keys, "as_of_ms", "head_ms"), rolling.edge_names(features), settings)
    kinds = dict.fromkeys(keys, "string") | dict.fromkeys(("as_of_ms", "head_ms"), "bigint")
    kinds |= {feature.name: SPARK_TYPES[feature.dtype] for feature in features}
    schema = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    rows = events.unionByName(asked, allowMissingColumns=True).repartition(buckets, *keys)
    return rows.mapInArrow(partial(rolling.answer, keys=keys, features=features), schema)


def _with_edges(questions: DataFrame, names: list[str], settings: Settings) -> DataFrame:
    """The questions, each with the first instant of each window, in ms. Made once for each zone and instant: many ask at one."""
    asked = questions.withColumn("zone", local_days.zone_of(sf.col("store_id"), settings))
    zone, as_of_ms = sf.col("zone"), sf.col("as_of_ms")
    starts = {name: window_start_ms(WINDOWS[name], as_of_ms, zone) for name in names if name in WINDOWS}
    for weeks, (start, end) in enumerate(SAME_HOURS, start=1):
        hour_start = same_hour_start_ms(weeks, as_of_ms, zone)
        starts |= {start: hour_start, end: hour_start + HOUR_MS}
    edges = sf.array(*(starts[name] for name in names)).alias("edges")
    instants = asked.select("zone", "as_of_ms").distinct().select("zone", "as_of_ms", edges)
    return asked.join(sf.broadcast(instants), on=["zone", "as_of_ms"], how="inner").drop("zone")


def stock(questions: DataFrame, inventory: DataFrame, settings: Settings) -> DataFrame:
    """One row per question: the latest count, the movements since, and the hours without stock in the window, as of the question;
    null before the first count.

    The time without stock up to an instant is what it was at the last event before it, and the time since where nothing was left.
    So that of a window is the difference of two instants.
    """
    zone = local_days.zone_of(sf.col("store_id"), settings)
    first_ms = window_start_ms(WINDOWS["28d"], sf.col("as_of_ms"), zone)
    edges = [
        sf.struct(sf.lit("head").alias("probe"), sf.col("head_ms").alias("at_ms"), sf.col("as_of_ms").alias("until_ms")),
        sf.struct(sf.lit("28d").alias("probe"), first_ms.alias("at_ms"), first_ms.alias("until_ms")),
    ]
    asked = questions.withColumn("edge", sf.explode(sf.array(*edges))).select(*QUESTION, "edge.*")
    up_to = Window.partitionBy(*SERIES).orderBy("at_ms", sf.col("probe").isNotNull())
    latest = sf.max("state").over(up_to.rowsBetween(Window.unboundedPreceding, 0))
    is_out = sf.when(sf.col("latest.on_hand") <= 0, sf.col("until_ms") - sf.col("latest.event_time_ms")).otherwise(0)
    out_ms = sf.coalesce(sf.col("latest.out_ms") + is_out, sf.lit(0))
    found = (
        _stock_states(inventory)
        .unionByName(asked, allowMissingColumns=True)
        .withColumn("latest", latest)
        .where(sf.col("probe").isNotNull())
        .groupBy(*QUESTION)
        .agg(
            sf.max(sf.when(sf.col("probe") == "head", sf.col("latest"))).alias("latest"),
            sf.sum(sf.when(sf.col("probe") == "head", out_ms).otherwise(-out_ms)).alias("out_ms"),
        )
    )
    columns = {
        "on_hand": sf.col("latest.on_hand"),
        "counted_ms": sf.col("latest.counted_ms"),
        "hours_out_of_stock_28d": sf.when(sf.col("latest").isNotNull(), sf.col("out_ms") / sf.lit(float(HOUR_MS))),
    }
    return found.select(*QUESTION, *(columns[f.name].alias(f.name) for f in features_of(STOCK.name)))


def _stock_states(inventory: DataFrame) -> DataFrame:
    """One row per event from a series' first count on: `at_ms`, and `state`: the units from then on, the count that they rest on,
    and the ms without stock before it."""
    in_order = Window.partitionBy(*SERIES).orderBy("event_time_ms", "event_id")
    since_count = Window.partitionBy(*SERIES, "count_number").orderBy("event_time_ms", "event_id")
    counted = sf.col("kind") == "count"
    was_out = sf.when(sf.lag("on_hand").over(in_order) <= 0, sf.col("event_time_ms") - sf.lag("event_time_ms").over(in_order))
    return (
        inventory.withColumn("count_number", sf.sum(counted.cast("int")).over(in_order))
        .withColumn("on_hand", sf.sum("quantity").over(since_count.rowsBetween(Window.unboundedPreceding, 0)))
        .withColumn("counted_ms", sf.max(sf.when(counted, sf.col("event_time_ms"))).over(since_count))
        .where(sf.col("count_number") > 0)
        .withColumn("was_out_ms", sf.coalesce(was_out, sf.lit(0)))
        .withColumn("out_ms", sf.sum("was_out_ms").over(in_order.rowsBetween(Window.unboundedPreceding, 0)))
        .select(
            *SERIES,
            sf.col("event_time_ms").alias("at_ms"),
            sf.struct("event_time_ms", "event_id", "on_hand", "counted_ms", "out_ms").alias("state"),
        )
    )


def price_plan(questions: DataFrame, prices: DataFrame) -> DataFrame:
    """One row per question with at least one announced price: the plans not over, in ascending precedence.

    `store_id` may be `*`. A plan is over once its last day lies before the day before the (UTC) as-of day; an open-ended one also
    once a stronger open-ended one has started by then.
    """
    plans = prices.select(
        *SERIES,
        "event_time_ms",
        sf.struct(
            sf.col("valid_to").isNotNull().alias("bounded"),
            sf.unix_date("valid_from").alias("valid_from"),
            sf.col("event_time_ms").alias("announced_ms"),
            "event_id",
            sf.coalesce(sf.unix_date("valid_to"), sf.lit(OPEN_ENDED)).alias("valid_to"),
            "price",
            "list_price",
            sf.col("promotion_id").isNotNull().cast("int").alias("promoted"),
        ).alias("plan"),
    )
    yesterday = sf.floor(sf.col("as_of_ms") / sf.lit(DAY_MS)) - 1
    alive = sf.col("plan.valid_to") >= yesterday
    has_started = alive & ~sf.col("plan.bounded") & (sf.col("plan.valid_from") <= yesterday)
    strongest = sf.max(sf.when(has_started, sf.col("plan"))).over(Window.partitionBy(*QUESTION))
    kept = alive & (sf.col("plan.bounded") | strongest.isNull() | (sf.col("plan") >= strongest))
    columns = {
        "plan_from": "valid_from",
        "plan_to": "valid_to",
        "plan_price": "price",
        "plan_list_price": "list_price",
        "plan_promoted": "promoted",
    }
    return (
        questions.join(plans, on=SERIES, how="inner")
        .where(sf.col("event_time_ms") <= sf.col("head_ms"))
        .withColumn("kept", kept)
        .groupBy(*QUESTION)
        .agg(sf.sort_array(sf.collect_list(sf.when(sf.col("kept"), sf.col("plan")))).alias("plans"))
        .select(
            *QUESTION,
            *(_of_each_plan(columns[f.name]).alias(f.name) for f in features_of(PRICE_PLAN.name)),
        )
    )


def _of_each_plan(name: str) -> Column:
    """One field of every plan, in order."""

    def field(plan: Column) -> Column:
        return plan.getField(name).cast("bigint")

    return sf.transform("plans", field)


def window_start_ms(window: RollingWindow, as_of_ms: Column, zone: Column) -> Column:
    """The first instant that a window covers as of an instant, ms: `contracts.windows` in Spark's own arithmetic."""
    hop_ms = window.hop.value
    if hop_ms is not None:
        return (sf.floor(as_of_ms / sf.lit(hop_ms)) - sf.lit(window.hops)) * sf.lit(hop_ms)
    today = local_days.local_day(sf.timestamp_millis(as_of_ms), zone)
    return local_days.day_start_ms(sf.date_sub(today, window.hops), zone)


def same_hour_start_ms(weeks: int, as_of_ms: Column, zone: Column) -> Column:
    """The start of the hour that lies whole weeks back, as far from its local day's start as the instant is from its own, ms."""
    today = local_days.local_day(sf.timestamp_millis(as_of_ms), zone)
    then = local_days.day_start_ms(sf.date_sub(today, 7 * weeks), zone)
    back = local_days.day_start_ms(today, zone) - then
    return sf.floor((as_of_ms - back) / sf.lit(HOUR_MS)) * sf.lit(HOUR_MS)
