"""Forecasts and their accuracy as PostgreSQL tables, for dashboards and for `rd360 forecast show`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.rows import dict_row

from contracts import tables
from contracts.clock import EpochMs
from contracts.errors import DependencyUnavailable, NotFoundError
from contracts.settings import Settings
from training.tracking import QUANTILE_COLUMNS

CONNECT_SECONDS = 3
_FORECAST_COLUMNS = ("store_id", "product_id", "as_of", "target_day", "model_name", "model_version", "mean", *QUANTILE_COLUMNS)
_DDL = (
    f"CREATE SCHEMA IF NOT EXISTS {tables.MART_SCHEMA}",
    f"""
    CREATE TABLE IF NOT EXISTS {tables.MART_FORECASTS} (
        store_id text NOT NULL, product_id text NOT NULL, as_of timestamptz NOT NULL, target_day date NOT NULL,
        model_name text NOT NULL, model_version text NOT NULL, mean double precision NOT NULL,
        {", ".join(f"{column} double precision NOT NULL" for column in QUANTILE_COLUMNS)},
        PRIMARY KEY (store_id, product_id, target_day))
    """,
    f"""
    CREATE TABLE IF NOT EXISTS {tables.MART_ACCURACY} (
        run_id text NOT NULL, trained_at timestamptz NOT NULL, candidate text NOT NULL, origin date NOT NULL,
        wape double precision, bias double precision, pinball double precision, rows bigint NOT NULL,
        PRIMARY KEY (run_id, candidate, origin))
    """,
)


def write_accuracy(settings: Settings, run_id: str, trained_at: EpochMs, rows: Sequence[dict[str, Any]]) -> None:
    """Adds one row per candidate × origin of a training run; writing a run twice changes nothing."""
    columns = ("candidate", "origin", "wape", "bias", "pinball", "rows")
    with _connect(settings, "publishing the accuracy of the candidates") as connection, connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {tables.MART_ACCURACY} VALUES (%s, to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (run_id, candidate, origin) DO NOTHING",
            [(run_id, trained_at, *(row[column] for column in columns)) for row in rows],
        )


def replace_forecasts(settings: Settings, forecasts: pa.Table) -> int:
    """Puts forecasts (`training.score.FORECASTS`) in place of all earlier ones, in one transaction. Returns how many."""
    with _connect(settings, "publishing the forecasts") as connection, connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {tables.MART_FORECASTS}")
        with cursor.copy(f"COPY {tables.MART_FORECASTS} ({', '.join(_FORECAST_COLUMNS)}) FROM STDIN") as copy:
            for row in zip(*(forecasts[column].to_pylist() for column in _FORECAST_COLUMNS), strict=True):
                copy.write_row(row)
    return int(forecasts.num_rows)


def read_forecast(settings: Settings, store_id: str, product_id: str) -> list[dict[str, Any]]:
    """The days of a series' latest nightly forecast, ascending. Raises NotFoundError where there is none."""
    with _connect(settings, "reading a forecast") as connection, connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            f"SELECT {', '.join(_FORECAST_COLUMNS)} FROM {tables.MART_FORECASTS}"
            " WHERE store_id = %s AND product_id = %s ORDER BY target_day",
            (store_id, product_id),
        )
        found = cursor.fetchall()
    if not found:
        raise NotFoundError(
            f"There is no forecast of product {product_id!r} in store {store_id!r}",
            doing="reading a forecast",
            hint="`./rd360 forecast score` makes the forecasts of all products on sale.",
        )
    return [{name: _plain(value) for name, value in row.items()} for row in found]


@contextmanager
def _connect(settings: Settings, doing: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose block is one transaction, the tables made."""
    try:
        connection = psycopg.connect(settings.postgres_url(tables.POSTGRES_DATABASE), connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        raise DependencyUnavailable(
            f"PostgreSQL at {settings.postgres} gives no connection to database {tables.POSTGRES_DATABASE}",
            doing=doing,
            why=str(error).strip().splitlines()[-1],
        ) from error
    with connection:
        connection.execute(f"SELECT pg_advisory_xact_lock({tables.CREATE_LOCK})")
        for statement in _DDL:
            connection.execute(statement)
        yield connection


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value
