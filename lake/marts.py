"""What dashboards read, as PostgreSQL tables made of gold, and the log of job runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as sf

from contracts import tables
from contracts.clock import EpochMs
from contracts.features import PRODUCT, STORE
from contracts.settings import Settings
from lake import mart_publication, schemas, steps
from lake.database import connect, ensure_table
from lake.mart_publication import Mart
from lake.report import JobReport

_DAILY = Mart(
    tables.MART_DAILY,
    {
        "store_id": "text NOT NULL",
        "product_id": "text NOT NULL",
        "category": "text",
        "region": "text",
        "local_day": "date NOT NULL",
        "units": "bigint NOT NULL",
        "returned_units": "bigint NOT NULL",
        "revenue_cents": "bigint NOT NULL",
        "price": "bigint",
        "promoted": "boolean NOT NULL",
        "in_stock": "double precision",
        "demand": "double precision NOT NULL",
    },
    key=("store_id", "product_id", "local_day"),
    indexed=("local_day",),
)
_FORECAST_ACTUAL = Mart(
    tables.MART_FORECAST_ACTUAL,
    {
        "source": "text NOT NULL",
        "model_name": "text NOT NULL",
        "model_version": "text NOT NULL",
        "horizon_days": "integer NOT NULL",
        "target_day": "date NOT NULL",
        "store_id": "text NOT NULL",
        "category": "text NOT NULL",
        "forecasts": "bigint NOT NULL",
        "forecast": "double precision NOT NULL",
        "actual": "double precision NOT NULL",
        "error": "double precision NOT NULL",
        "absolute_error": "double precision NOT NULL",
        "pinball": "double precision NOT NULL",
        "quantile_forecasts": "bigint NOT NULL",
    },
    key=("source", "model_name", "model_version", "horizon_days", "target_day", "store_id", "category"),
    indexed=("target_day",),
)
_JOB_RUN = f"""
    CREATE TABLE IF NOT EXISTS {tables.MART_JOBS} (
        job text NOT NULL, started_at timestamptz NOT NULL, seconds double precision NOT NULL,
        rows_in bigint NOT NULL, rows_out bigint NOT NULL, rejected bigint NOT NULL, detail jsonb NOT NULL,
        PRIMARY KEY (job, started_at))
"""


def daily_demand(session: SparkSession) -> DataFrame:
    """The mart's rows: gold.daily with its product's category, its store's region, and revenue after refunds in cents."""
    products = session.table(PRODUCT.table).select("product_id", "category")
    stores = session.table(STORE.table).select("store_id", "region")
    return (
        session.table(schemas.GOLD_DAILY.name)
        .withColumn("revenue_cents", sf.col("sales_cents") - sf.col("refund_cents"))
        .join(products, on="product_id", how="left")
        .join(stores, on="store_id", how="left")
        .select(*_DAILY.columns)
    )


def forecast_actual(session: SparkSession) -> DataFrame:
    """The mart's rows: one per source × model version × horizon × target day × store × category, sums over its judged forecasts.

    In units. WAPE is sum(absolute_error) / sum(actual), bias sum(error) / sum(actual). `pinball` sums each forecast's mean loss
    over its quantiles: divide it by `quantile_forecasts`, the number of those that have any.
    """
    products = session.table(PRODUCT.table).select("product_id", "category")
    losses = sf.map_values("pinball")
    pinball = sf.aggregate(losses, sf.lit(0.0), lambda total, loss: total + loss) / sf.size(losses)
    judged = (
        session.table(schemas.GOLD_FORECAST_ACTUAL.name)
        .where("error IS NOT NULL")
        .join(products, on="product_id", how="left")
        .withColumn("category", sf.coalesce("category", sf.lit("")))
        .withColumn("mean_pinball", sf.when(sf.size(losses) > 0, pinball))
    )
    return summed(judged).select(*_FORECAST_ACTUAL.columns)


def summed(judged: DataFrame) -> DataFrame:
    """One row per key of the mart: how many judged forecasts, and their sums.

    A sum of doubles depends on its order, and Spark's order on how rows lie in files: they are added in an order of their own.
    """
    sums = {
        "mean": "forecast",
        "actual": "actual",
        "error": "error",
        "absolute_error": "absolute_error",
        "mean_pinball": "pinball",
    }
    listed = judged.groupBy(*_FORECAST_ACTUAL.key).agg(
        sf.count("*").alias("forecasts"),
        sf.count("mean_pinball").alias("quantile_forecasts"),
        sf.array_sort(sf.collect_list(sf.struct(*sums))).alias("in_order"),
    )
    return listed.withColumns({column: _total(name) for name, column in sums.items()}).drop("in_order")


def _total(name: str) -> Column:
    return sf.aggregate("in_order", sf.lit(0.0), lambda total, row: total + sf.coalesce(row[name], sf.lit(0.0)))


@dataclass(frozen=True, slots=True)
class LakeMart:
    """A mart, the table of the lake that it is made of, and how."""

    mart: Mart
    source: str
    rows: Callable[[SparkSession], DataFrame]


MARTS = (
    LakeMart(_DAILY, tables.GOLD_DAILY, daily_demand),
    LakeMart(_FORECAST_ACTUAL, tables.GOLD_FORECAST_ACTUAL, forecast_actual),
)


def publish(session: SparkSession, settings: Settings, run_id: str, at: EpochMs, require: Callable[[], None]) -> dict[str, int]:
    """Makes every mart what the lake has now, and returns the rows of each. All are filled aside before one is changed.

    `require` raises where this is not the only run any more.
    """
    marts = [made.mart for made in MARTS]
    mart_publication.prepare(settings, marts)
    filled = {}
    for made in MARTS:
        steps.begin(session, made.mart.name)
        filled[made.mart.name] = _fill(made.rows(session), made.mart, settings)
    require()
    return mart_publication.publish(settings, marts, filled, run_id, at)


def record_job(settings: Settings, report: JobReport) -> None:
    """Adds a job's run to the log of runs."""
    detail = json.dumps(report.detail, default=str)
    values = (report.job, report.started_at, report.seconds, report.rows_in, report.rows_out, report.rejected, detail)
    with connect(settings, tables.POSTGRES_DATABASE, doing="recording a job's run") as connection:
        ensure_table(connection, tables.MART_JOBS, _JOB_RUN)
        connection.execute(
            f"INSERT INTO {tables.MART_JOBS} VALUES (%s, to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s)"
            " ON CONFLICT (job, started_at) DO NOTHING",
            values,
        )


def _fill(rows: DataFrame, mart: Mart, settings: Settings) -> int:
    """How many rows were sent. They are counted on their way: the lake may have others a moment later."""
    counted = Observation(f"filling {mart.name}")
    writer = rows.observe(counted, sf.count(sf.lit(1)).alias("rows")).write.format("jdbc").mode("append")
    for key, value in _jdbc(mart.staging, settings).items():
        writer = writer.option(key, value)
    writer.save()
    return int(counted.get["rows"])


def _jdbc(table: str, settings: Settings) -> dict[str, str]:
    return {
        "url": f"jdbc:postgresql://{settings.postgres}/{tables.POSTGRES_DATABASE}?reWriteBatchedInserts=true",
        "driver": "org.postgresql.Driver",
        "user": settings.postgres_user,
        "password": settings.secret("postgres_password"),
        "dbtable": table,
        "batchsize": "5000",
    }
