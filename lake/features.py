"""The streaming views recomputed by Spark from silver, as of any instant: what the stream must equal, to the last digit.

It shares the catalogue with the stream and none of its code: windows here are differences of running totals, there merges of
tiles. Sums are integers, ratios one double division of the same integers, so both sides give the same bits.

A question is a row with the view's keys and `as_of_ms`. Events at or before `head_ms` count; windows begin as of `as_of_ms`. For
training rows the two are the same instant. Parity, which fences events by offset, sets `head_ms` to the end of time.
"""

from __future__ import annotations

from functools import reduce

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
    Feature,
    View,
    features_of,
)
from contracts.request_features import OPEN_ENDED
from contracts.settings import Settings
from contracts.windows import DAY_MS, HOUR_MS, SAME_HOUR_WEEKS, WINDOWS
from contracts.windows import Window as RollingWindow
from lake import local_days
from lake.stock import SERIES

QUESTION = [*SERIES, "as_of_ms", "head_ms"]
END_OF_TIME_MS = 2**62  # later than any event
# The probes at the start and the end of the same hour, by weeks back.
_SAME_HOURS = [(f"same_hour_{weeks}w", f"same_hour_{weeks}w_end") for weeks in range(1, SAME_HOUR_WEEKS + 1)]


def under_categories(sales: DataFrame) -> DataFrame:
    """One row per receipt line that counts in a category: in `category_id` is the last by name of those that the receipt's lines
    of its product name. Where they name none there is no row."""
    of_product = Window.partitionBy(*SERIES, "event_id")
    return sales.withColumn("category_id", sf.max("category_id").over(of_product)).where(sf.col("category_id").isNotNull())


def contributions(sales: DataFrame) -> DataFrame:
    """One row per receipt × product: the catalogue's SALES_VALUES, and the price of its dearest sold line (null without one)."""
    price = sf.max(sf.when(sf.col("quantity") > 0, sf.col("unit_price")))
    return (
        sales.groupBy(*SERIES, "event_id", "event_time_ms")
        .agg(*(values.alias(name) for name, values in _values().items()), price.alias("price"))
        .select(*SERIES, "event_time_ms", "event_id", *SALES_VALUES, "price")
    )


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


def sales_rolling(questions: DataFrame, sales: DataFrame, settings: Settings) -> DataFrame:
    """One row per question: the features of `sales_rolling`. Questions are store_id, product_id, as_of_ms, head_ms."""
    last = sf.when(sf.col("units") > 0, sf.struct("event_time_ms", "event_id", "price")).alias("last")
    return _rolling(
        SALES_ROLLING, questions, contributions(sales).select(*SERIES, "event_time_ms", *SALES_VALUES, last), settings
    )


def store_rolling(questions: DataFrame, sales: DataFrame, settings: Settings) -> DataFrame:
    """One row per question: the features of `store_rolling`. Questions are store_id, as_of_ms, head_ms."""
    return _sums(STORE_ROLLING, questions, sales, settings)


def category_rolling(questions: DataFrame, sales: DataFrame, settings: Settings) -> DataFrame:
    """One row per question: the features of `category_rolling`. Questions are store_id, category_id, as_of_ms, head_ms; sales are
    `under_categories`."""
    return _sums(CATEGORY_ROLLING, questions, sales, settings)


def _sums(view: View, questions: DataFrame, sales: DataFrame, settings: Settings) -> DataFrame:
    """One row per question: the features of a view over products. Of how many receipts there were it knows nothing."""
    keys = [ENTITY_KEYS[entity] for entity in view.entities]
    together = sales.groupBy(*keys, "event_time_ms").agg(*(values.alias(name) for name, values in _values().items()))
    return _rolling(view, questions, together, settings)


def _rolling(view: View, questions: DataFrame, contributed: DataFrame, settings: Settings) -> DataFrame:
    """One row per question: a view's windows over what was contributed to its keys."""
    features, keys = features_of(view.name), [ENTITY_KEYS[entity] for entity in view.entities]
    windows = [WINDOWS[name] for name in sorted({f.window for f in features if f.window is not None})]
    weeks = SAME_HOUR_WEEKS if any(f.aggregate == "same_hour" for f in features) else 0
    asked = [*keys, "as_of_ms", "head_ms"]
    probes = [*(w.name for w in windows), *(name for pair in _SAME_HOURS[:weeks] for name in pair)]
    events = contributed.withColumnRenamed("event_time_ms", "at_ms")
    edges = _probes(questions, asked, windows, weeks, settings)
    totals = _running_totals(events.unionByName(edges, allowMissingColumns=True), keys)
    last = [sf.max(sf.when(sf.col("probe") == "head", sf.col("last"))).alias("last")] if "last" in totals.columns else []
    answers = totals.groupBy(*asked).agg(
        *(_total(probe, name).alias(f"{probe}_{name}") for probe in ["head", *probes] for name in SALES_VALUES), *last
    )
    return answers.select(*asked, *(_finished(feature).alias(feature.name) for feature in features))


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


def _probes(questions: DataFrame, asked: list[str], windows: list[RollingWindow], weeks: int, settings: Settings) -> DataFrame:
    """One row per question and edge: the head, which includes its instant; the start of each window and both ends of the same
    hour of each of the last weeks, which exclude theirs."""
    zone = local_days.zone_of(sf.col("store_id"), settings)
    edges = [sf.struct(sf.lit("head").alias("probe"), sf.col("head_ms").alias("at_ms"))]
    edges += [_edge(window.name, window_start_ms(window, sf.col("as_of_ms"), zone)) for window in windows]
    for back, (starts, ends) in enumerate(_SAME_HOURS[:weeks], start=1):
        hour_start = same_hour_start_ms(back, sf.col("as_of_ms"), zone)
        edges += [_edge(starts, hour_start), _edge(ends, hour_start + sf.lit(HOUR_MS))]
    return questions.withColumn("edge", sf.explode(sf.array(*edges))).select(*asked, "edge.probe", "edge.at_ms")


def _edge(probe: str, start_ms: Column) -> Column:
    return sf.struct(sf.lit(probe).alias("probe"), (start_ms - 1).alias("at_ms"))


def _running_totals(rows: DataFrame, keys: list[str]) -> DataFrame:
    """The probes, each with the totals of all events of its keys up to its instant, and their `last` where events have one."""
    up_to = (
        Window.partitionBy(*keys)
        .orderBy("at_ms", sf.col("probe").isNotNull())
        .rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    totals = [sf.coalesce(sf.sum(name).over(up_to), sf.lit(0)).alias(name) for name in SALES_VALUES]
    last = [sf.max("last").over(up_to).alias("last")] if "last" in rows.columns else []
    return rows.select(*keys, "as_of_ms", "head_ms", "probe", *totals, *last).where(sf.col("probe").isNotNull())


def _total(probe: str, name: str) -> Column:
    return sf.max(sf.when(sf.col("probe") == probe, sf.col(name)))


def _within(name: str, window: str) -> Column:
    return sf.col(f"head_{name}") - sf.col(f"{window}_{name}")


def _finished(feature: Feature) -> Column:
    """The feature's column, from the totals at the head and at its window's start."""
    if feature.aggregate == "last":
        return sf.col({"unit_price": "last.price", "event_time": "last.event_time_ms"}[feature.value])
    if feature.aggregate == "same_hour":
        return reduce(
            Column.__add__, (sf.col(f"{end}_{feature.value}") - sf.col(f"{start}_{feature.value}") for start, end in _SAME_HOURS)
        )
    if feature.window is None:
        raise ValueError(f"{feature.name}: a {feature.aggregate} needs a window")
    totals = [_within(name, feature.window) for name in feature.value.split("/")]
    return reduce(lambda above, below: sf.when(below != 0, above / below), totals)
