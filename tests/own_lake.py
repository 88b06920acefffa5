"""A lake of a test's own on the shared stack: a session on a catalog database that is dropped at the end, and then its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.settings import Settings
from contracts.spark_conf import spark_secrets, warehouse
from contracts.tables import CATALOG, POSTGRES_DATABASE
from lake.quality_gate import Gate
from lake.schemas import BRONZE_EVENTS
from lake.session import open_session
from tests.lake_store import place, store


@contextmanager
def own_lake(settings: Settings, tag: str) -> Iterator[SparkSession]:
    """A Spark session whose catalog `lake` is empty and nobody else's; the active session while the block runs."""
    running = SparkSession.getActiveSession()
    base = running or open_session(settings, f"tests {tag}")
    session = base.newSession()
    name = f"lake_{tag}"
    with psycopg.connect(settings.postgres_url(POSTGRES_DATABASE), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            catalog = f"spark.sql.catalog.{CATALOG}"
            place = {
                f"{catalog}.uri": f"jdbc:postgresql://{settings.postgres}/{name}",
                f"{catalog}.warehouse": f"{warehouse(settings)}-{tag}",
            }
            for key, value in (spark_secrets(settings) | place).items():
                session.conf.set(key, value)
            make_active(session)
            yield session
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            if running is None:
                base.stop()
            else:
                make_active(base)
            _remove_files(settings, tag)


def open_gate(session: SparkSession, settings: Settings) -> Gate:
    """What a job publishes through that no rule stops and that nobody else runs."""
    return Gate(session, settings, rules=(), began_at=0, require=lambda: None)


def add_to_bronze(messages: DataFrame) -> None:
    """Appends messages with `topic` to `value` and the broker's time in ms, as the Kafka job would have left them."""
    columns = {
        "kafka_time": sf.timestamp_millis("kafka_time_ms"),
        "ingest_time": sf.current_timestamp(),
        "headers": sf.lit(None).cast(dict(BRONZE_EVENTS.columns)["headers"]),
    }
    messages.withColumns(columns).select(*BRONZE_EVENTS.column_names).writeTo(BRONZE_EVENTS.name).append()


def _remove_files(settings: Settings, tag: str) -> None:
    """Dropping the catalog leaves them in the store."""
    bucket, prefix = place(f"{warehouse(settings)}-{tag}/")
    store(settings).Bucket(bucket).objects.filter(Prefix=prefix).delete()


def make_active(session: SparkSession) -> None:
    """Makes a session the one that Feast finds."""
    session.createDataFrame([(1,)], "one int")
