"""Job: the offline feature tables, on the snapshot grid and at the start of each local day, where new events change them."""

from __future__ import annotations

import datetime as dt

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
from lake import brokers, features, progress, schemas, snapshot_grid, steps, tables
from lake.daily_features import demand_daily
from lake.database import sole_writer
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.tables import last_commit

_KINDS = ("sales", "inventory", "prices")
_VIEWS = (SALES_ROLLING, STORE_ROLLING, CATEGORY_ROLLING, STOCK, PRICE_PLAN, DEMAND_DAILY)


def run(session: SparkSession, settings: Settings, *, full: bool = False, dry_run: bool = False) -> JobReport:
    """`rows_in` is silver rows that the features had not seen, `rows_out` feature rows written (with `dry_run`: that would be).

    Rows before the first new event cannot change; those after it are made anew, from the start of its month, since the tables'
    partitions are months and each is replaced whole.
    """
    watch = Stopwatch("features")
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake features"), spark_errors("making offline features"):
        seen = progress.read(session, schemas.GOLD_PROGRESS)
        new_rows, first_ms, latest_ms = _new_events(session, settings)
        full = full or _another_catalogue(session)
        if (first_ms is None and not full) or latest_ms is None:
            return watch.report(new_rows, 0, first_event=None)
        since = None if full or first_ms is None else _month_start(first_ms)
        written = {}
        for view, rows in feature_rows(session, settings, since, latest_ms).items():
            steps.begin(session, view.table)
            table = _with_origin(rows, view)
            if dry_run:
                written[view.name] = table.count()
                continue
            table.writeTo(view.table).overwrite(sf.lit(True) if since is None else sf.col("event_time") >= sf.lit(since))
            written[view.name] = int(last_commit(session, view.table).get("added-records", 0))
        if not dry_run:
            progress.write(session, schemas.FEATURES_PROGRESS, seen)
    first = None if since is None else since.isoformat()
    return watch.report(new_rows, sum(written.values()), since=first, rows=written, dry_run=dry_run)


def feature_rows(session: SparkSession, settings: Settings, since: dt.datetime | None, latest_ms: int) -> dict[View, DataFrame]:
    """The rows of each offline feature table from an instant on, all of them where it is None, up to the latest event."""
    since_ms = 0 if since is None else int(since.timestamp() * 1000)
    sales, inventory, prices = (session.table(schemas.SILVER_OF_KIND[kind].name) for kind in _KINDS)
    daily = session.table(schemas.GOLD_DAILY.name)
    asked = snapshot_grid.snapshots(daily, settings, latest_ms).where(sf.col("as_of_ms") >= since_ms)
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
        DEMAND_DAILY: demand_daily(daily, settings).where(sf.col("as_of_ms") >= since_ms),
    }


def _new_events(session: SparkSession, settings: Settings) -> tuple[int, int | None, int | None]:
    """How many silver rows the features have not seen, the first instant that can change, and the latest sale, in ms.

    The grid grows with the latest sale, so the first instant is never later than the last snapshot that is there.
    """
    seen = progress.read(session, schemas.FEATURES_PROGRESS)
    topics = {kind: topic for topic, kind in brokers.source_topics(settings).items()}
    tables = [(session.table(schemas.SILVER_OF_KIND[kind].name), progress.not_seen(seen, [topics[kind]])) for kind in _KINDS]
    first, *others = [table.where(unseen).select("event_time_ms") for table, unseen in tables]
    for other in others:
        first = first.union(other)
    new = first.agg(sf.count("*").alias("rows"), sf.min("event_time_ms").alias("first_ms")).collect()[0]
    latest = tables[0][0].agg(sf.max("event_time_ms")).collect()[0][0]
    last_snapshot = session.table(SALES_ROLLING.table).agg(sf.max("as_of_ms")).collect()[0][0]
    firsts = [instant for instant in (new["first_ms"], last_snapshot) if instant is not None]
    return new["rows"], min(firsts) if new["rows"] else None, latest


def _another_catalogue(session: SparkSession) -> bool:
    """Whether some offline row was made by another catalogue than this one: then no old row is what it would be now."""
    stale = [
        session.table(view.table).where(sf.col("fingerprint") != CATALOGUE_FINGERPRINT).select("fingerprint") for view in _VIEWS
    ]
    first, *others = stale
    for other in others:
        first = first.union(other)
    return not first.isEmpty()


def _month_start(time_ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


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
