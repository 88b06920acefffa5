"""gold.daily as a PostgreSQL table for dashboards, and the log of job runs. Readers see an old table or a new one, never half."""

from __future__ import annotations

import json

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts import tables
from contracts.features import PRODUCT, STORE
from contracts.settings import Settings
from lake import schemas
from lake.database import connect
from lake.report import JobReport

STAGING = f"{tables.MART_DAILY}_next"
_COLUMNS = {
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
}
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
        .select(*_COLUMNS)
    )


def publish(rows: DataFrame, settings: Settings) -> int:
    """Replaces the mart with the rows and returns how many. The new table is filled aside, then takes the old one's place."""
    _make_staging(settings)
    writer = rows.write.format("jdbc").mode("append")
    for key, value in _jdbc(settings).items():
        writer = writer.option(key, value)
    writer.save()
    return _swap(settings)


def record_job(settings: Settings, report: JobReport) -> None:
    """Adds a job's run to the log of runs."""
    detail = json.dumps(report.detail, default=str)
    values = (report.job, report.started_at, report.seconds, report.rows_in, report.rows_out, report.rejected, detail)
    with connect(settings, tables.POSTGRES_DATABASE, doing="recording a job's run") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(361)")  # CREATE … IF NOT EXISTS fails when two sessions do it at once
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {tables.MART_JOBS.split('.')[0]}")
        connection.execute(_JOB_RUN)
        connection.execute(
            f"INSERT INTO {tables.MART_JOBS} VALUES (%s, to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s)"
            " ON CONFLICT (job, started_at) DO NOTHING",
            values,
        )


def _make_staging(settings: Settings) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    with connect(settings, tables.POSTGRES_DATABASE, doing="preparing the marts") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(361)")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {tables.MART_SCHEMA}")
        connection.execute(f"DROP TABLE IF EXISTS {STAGING}")
        connection.execute(f"CREATE TABLE {STAGING} ({columns}, PRIMARY KEY (store_id, product_id, local_day))")


def _swap(settings: Settings) -> int:
    name = tables.MART_DAILY.split(".")[1]
    with connect(settings, tables.POSTGRES_DATABASE, doing="publishing the marts") as connection:
        connection.execute(f"CREATE INDEX ON {STAGING} (local_day)")
        count = connection.execute(f"SELECT count(*) FROM {STAGING}").fetchone()
        connection.execute(f"DROP TABLE IF EXISTS {tables.MART_DAILY}")
        connection.execute(f"ALTER TABLE {STAGING} RENAME TO {name}")
    return int(count[0]) if count else 0


def _jdbc(settings: Settings) -> dict[str, str]:
    return {
        "url": f"jdbc:postgresql://{settings.postgres}/{tables.POSTGRES_DATABASE}?reWriteBatchedInserts=true",
        "driver": "org.postgresql.Driver",
        "user": settings.postgres_user,
        "password": settings.secret("postgres_password"),
        "dbtable": STAGING,
        "batchsize": "5000",
    }
