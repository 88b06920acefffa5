"""Job: the offline feature tables, on the snapshot grid and at the start of each local day, where new events change them or where
it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.features import (
    CATALOGUE_FINGERPRINT,
    CATEGORY_ROLLING,
    DEMAND_DAILY,
    PRICE_PLAN,
    SALES_ROLLING,
    STOCK,
    STORE_ROLLING,
    View,
    features_of,
)
from contracts.settings import Settings
from contracts.windows import EPOCH
from lake import brokers, features, months, progress, quality, schemas, snapshot_grid, steps, tables
from lake.daily_features import demand_daily
from lake.database import sole_writer
from lake.months import Days, Known, Months
from lake.quality_gate import Gate
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

_DOING = "making offline features"
_KINDS = ("sales", "inventory", "prices")
_VIEWS = (SALES_ROLLING, STORE_ROLLING, CATEGORY_ROLLING, STOCK, PRICE_PLAN, DEMAND_DAILY)


def run(
    session: SparkSession, settings: Settings, *, full: bool = False, days: Days | None = None, dry_run: bool = False
) -> JobReport:
    """`rows_in` is silver rows that the features had not seen, `rows_out` feature rows written (with `dry_run`: that would be).

    Rows before the first new event cannot change; those after it are made anew, from the start of its month, since the tables'
    partitions are months and each is replaced whole. With `days` it is the months in UTC that have an instant of these, whatever
    the features have seen, which stays as it is. A month of a table that breaks a quality rule keeps its old rows there. Raises
    HeldBack then, and leaves the progress where it was, so that the next run tries again; UsageError where silver has none
    of the `days`.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("features")
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake features") as lock, spark_errors(_DOING):
        seen = progress.read(session, schemas.GOLD_PROGRESS)
        silver = {kind: tables.as_it_stands(session, schemas.SILVER_OF_KIND[kind]) for kind in _KINDS}
        known = months.known(silver["sales"], silver["inventory"])
        full = full or (days is None and _another_catalogue(session))
        new_rows, chosen = _asked(settings, days, known) if days else _changed(session, settings, full=full)
        if chosen is None or known.latest_ms is None:
            return watch.report(new_rows, 0, first_event=None)
        replaced = sf.lit(True) if full else chosen.hold_instant(sf.col("event_time"))
        gate = Gate(session, settings, rules, watch.started_at, lock.require)
        written = {}
        for view, rows in feature_rows(session, silver, settings, chosen, known.latest_ms).items():
            steps.begin(session, view.table)
            table = _with_origin(rows, view)
            if dry_run:
                written[view.name] = table.count()
                continue
            written[view.name] = gate.publish({view.table: table}, replaced)[view.table]
        if gate.stopped and full:  # there may be nothing new that would bring the next run to these months
            progress.write(session, schemas.FEATURES_PROGRESS, {})
        gate.require_passed(_DOING)
        if not dry_run and days is None:
            lock.require()
            progress.write(session, schemas.FEATURES_PROGRESS, seen)
    since, named = (None, None) if full else (chosen.first.isoformat(), chosen.names(months.day_of(known.latest_ms)))
    total = sum(written.values())
    return watch.report(new_rows, total, since=since, months=named, rows=written, warnings=gate.warnings, dry_run=dry_run)


def feature_rows(
    session: SparkSession, silver: Mapping[str, DataFrame], settings: Settings, chosen: Months, latest_ms: int
) -> dict[View, DataFrame]:
    """The rows of each offline feature table in these months of UTC, up to the latest event. `silver` is its rows by kind."""
    in_months = chosen.hold_instant(sf.timestamp_millis("as_of_ms"))
    sales, inventory, prices = (silver[kind] for kind in _KINDS)
    daily = tables.as_it_stands(session, schemas.GOLD_DAILY)
    asked = snapshot_grid.snapshots(daily, settings, latest_ms).where(in_months)
    buckets = features.buckets(tables.rows(session, schemas.SILVER_SALES.name))
    of_stores, in_categories = snapshot_grid.of_stores(asked), features.under_categories(sales)
    return {
        SALES_ROLLING: features.sales_rolling(asked, sales, settings, buckets),
        STORE_ROLLING: features.store_rolling(of_stores, sales, settings, buckets),
        CATEGORY_ROLLING: features.category_rolling(
            snapshot_grid.of_categories(of_stores, in_categories), in_categories, settings, buckets
        ),
        STOCK: features.stock(asked, inventory, settings),
        PRICE_PLAN: features.price_plan(snapshot_grid.with_all_stores(asked), prices),
        DEMAND_DAILY: demand_daily(daily, settings).where(in_months),
    }


def _asked(settings: Settings, days: Days, known: Known) -> tuple[int, Months | None]:
    """No silver rows that the features have not seen, and the months that have an instant of the days in any store's zone."""
    zones = {settings.time_zone, *settings.store_time_zones.values()}
    return 0, months.in_utc(months.within(days, known), zones)


def _changed(session: SparkSession, settings: Settings, *, full: bool) -> tuple[int, Months | None]:
    """How many silver rows the features have not seen, and the months that they can change, or all; none where there are none.

    The grid of a store grows with its latest sale, so the first instant that can change is never later than the last snapshot
    that is there of any store that has sold anew.
    """
    seen = progress.read(session, schemas.FEATURES_PROGRESS)
    topics = {kind: topic for topic, kind in brokers.source_topics(settings).items()}
    tables = [(session.table(schemas.SILVER_OF_KIND[kind].name), progress.not_seen(seen, [topics[kind]])) for kind in _KINDS]
    first, *others = [table.where(unseen).select("event_time_ms") for table, unseen in tables]
    for other in others:
        first = first.union(other)
    new = first.agg(sf.count("*").alias("rows"), sf.min("event_time_ms").alias("first_ms")).collect()[0]
    if full or not new["rows"]:
        return new["rows"], Months(EPOCH) if full else None
    last_snapshot = session.table(SALES_ROLLING.table).agg(sf.max("as_of_ms")).collect()[0][0]
    if last_snapshot is None:  # nothing is there that a store could lack the continuation of
        return new["rows"], Months(months.day_of(new["first_ms"]).replace(day=1))
    sales, unseen = tables[_KINDS.index("sales")]
    of_instant = ("store_id", sf.col("event_time_ms").alias("at"))
    held = session.table(SALES_ROLLING.table).select("store_id", sf.col("as_of_ms").alias("at"))
    of_stores = months.since_last(sales.where(unseen), held, sales.select(*of_instant))
    first_ms = min(instant for instant in (new["first_ms"], last_snapshot, of_stores) if instant is not None)
    return new["rows"], Months(months.day_of(first_ms).replace(day=1))


def _another_catalogue(session: SparkSession) -> bool:
    """Whether some offline row was made by another catalogue than this one: then no old row is what it would be now."""
    stale = [
        session.table(view.table).where(sf.col("fingerprint") != CATALOGUE_FINGERPRINT).select("fingerprint") for view in _VIEWS
    ]
    first, *others = stale
    for other in others:
        first = first.union(other)
    return not first.isEmpty()


def _with_origin(rows: DataFrame, view: View) -> DataFrame:
    """The rows in the columns of the view's table: keys, Feast's timestamps, the row's origin, the features."""
    types = {feature.name: schemas.SPARK_TYPES[feature.dtype] for feature in features_of(view.name)}
    columns: dict[str, Column] = {
        "event_time": sf.timestamp_millis("as_of_ms"),
        "created": sf.current_timestamp(),
        "source_offset": sf.lit(-1).cast("bigint"),
        "fingerprint": sf.lit(CATALOGUE_FINGERPRINT),
        **{name: sf.col(name).cast(kind) for name, kind in types.items()},
    }
    wanted = schemas.FEATURE_TABLES[view.name].column_names
    return rows.select(*(columns.get(name, sf.col(name)).alias(name) for name in wanted))
