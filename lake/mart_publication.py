"""Marts in PostgreSQL that change together: each is filled aside, then all become what was filled in one transaction.

Rows are merged into the tables that are there, so that indexes, rights and views stay, and a snapshot that is older than the
transaction goes on seeing the old rows. Its commit waits until nobody reads a mart: who reads two of them in one transaction, at
whatever isolation level, sees two of the same run.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection

from contracts import tables
from contracts.clock import EpochMs
from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from lake.database import connect

# How long the tries wait for each lock, one after the other, and new readers behind them: short ones find a gap between readers
# that take the marts in another order, long ones outwait a query. All lie well below PostgreSQL's deadlock_timeout (1 s), so that
# it is always the publication that steps back, and no reader is ended
LOCK_MS = (20, 50, 100, 300)
PAUSE_SECONDS = 0.05
READERS_SECONDS = 120.0  # twice as long as a dashboard's query may take
_PUBLICATION = f"""
    CREATE TABLE IF NOT EXISTS {tables.MART_PUBLICATION} (
        mart text PRIMARY KEY, run_id text NOT NULL, published_at timestamptz NOT NULL, rows bigint NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Mart:
    """One table: `schema.table`, columns with their SQL types, those of its primary key, those with an index of their own."""

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    indexed: tuple[str, ...] = ()

    @property
    def staging(self) -> str:
        """The table that is filled aside."""
        return f"{self.name}_next"


def prepare(settings: Settings, marts: Sequence[Mart]) -> None:
    """Makes the marts that are not there, the columns and indexes they have gained, and an empty staging table for each."""
    with connect(settings, tables.POSTGRES_DATABASE, doing="preparing the marts") as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (tables.CREATE_LOCK,))
        for schema in sorted({name.split(".")[0] for name in (tables.MART_PUBLICATION, *(mart.name for mart in marts))}):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        connection.execute(_PUBLICATION)
        for mart in marts:
            _complete(connection, mart)
            connection.execute(f"DROP TABLE IF EXISTS {mart.staging}")
            connection.execute(f"CREATE UNLOGGED TABLE {mart.staging} ({_definition(mart)})")


def publish(
    settings: Settings,
    marts: Sequence[Mart],
    filled: Mapping[str, int],
    run_id: str,
    at: EpochMs,
    readers_seconds: float = READERS_SECONDS,
) -> dict[str, int]:
    """Makes every mart what its staging table holds, and notes the run in `marts.publication`. Mart -> its rows.

    All of it or nothing. `filled` is how many rows each staging table was given. Raises DependencyUnavailable, with the old marts
    in place, where one holds another number by now, and where somebody reads a mart for longer than `readers_seconds`.
    """
    with connect(settings, tables.POSTGRES_DATABASE, doing="publishing the marts") as connection:
        for mart in marts:
            _require_filled(connection, mart, filled[mart.name])
        rows = {mart.name: _merge(connection, mart) for mart in marts}
        for name, count in rows.items():
            connection.execute(
                f"INSERT INTO {tables.MART_PUBLICATION} VALUES (%s, %s, to_timestamp(%s / 1000.0), %s) ON CONFLICT (mart)"
                " DO UPDATE SET run_id = excluded.run_id, published_at = excluded.published_at, rows = excluded.rows",
                (name, run_id, at, count),
            )
        _wait_for_readers(connection, [tables.MART_PUBLICATION, *rows], readers_seconds)
        connection.execute(f"DROP TABLE {', '.join(mart.staging for mart in marts)}")
    return rows


def _definition(mart: Mart) -> str:
    columns = ", ".join(f"{name} {kind}" for name, kind in mart.columns.items())
    return f"{columns}, PRIMARY KEY ({', '.join(mart.key)})"


def _complete(connection: Connection[Any], mart: Mart) -> None:
    """The mart's table with all its columns and indexes. A new column has no value in old rows until they are merged."""
    connection.execute(f"CREATE TABLE IF NOT EXISTS {mart.name} ({_definition(mart)})")
    there = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", (mart.name,)
    ).fetchall()
    for name in [name for name in mart.columns if (name,) not in there]:
        connection.execute(f"ALTER TABLE {mart.name} ADD COLUMN {name} {mart.columns[name].removesuffix(' NOT NULL')}")
    indexes = connection.execute("SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass", (mart.name,))
    definitions = [definition for (definition,) in indexes.fetchall()]
    for name in mart.indexed:
        if not any(definition.endswith(f"({name})") for definition in definitions):
            connection.execute(f"CREATE INDEX ON {mart.name} ({name})")


def _require_filled(connection: Connection[Any], mart: Mart, expected: int) -> None:
    """Staging tables are unlogged: PostgreSQL empties them after a crash."""
    connection.execute(f"LOCK TABLE {mart.staging} IN SHARE MODE")
    there = connection.execute(f"SELECT count(*) FROM {mart.staging}").fetchone()
    if there is None or there[0] != expected:
        raise DependencyUnavailable(
            f"{mart.staging} has {there[0] if there else 0} rows, and was given {expected}",
            doing="publishing the marts",
            why="PostgreSQL came back from a crash, or another run has filled it",
            hint="The old marts stay. Run `./rd360 lake marts` again.",
        )


def _merge(connection: Connection[Any], mart: Mart) -> int:
    """Makes the mart's rows those of its staging table, and returns how many. A row that is the same already is not touched."""
    new, old = mart.staging, mart.name
    same_key = " AND ".join(f"filled.{name} = held.{name}" for name in mart.key)
    values = [name for name in mart.columns if name not in mart.key]
    of_held, of_filled = (", ".join(f"{side}.{name}" for name in values) for side in ("held", "filled"))
    columns = ", ".join(mart.columns)
    connection.execute(f"ANALYZE {new}")
    connection.execute(f"DELETE FROM {old} held WHERE NOT EXISTS (SELECT FROM {new} filled WHERE {same_key})")
    connection.execute(
        f"UPDATE {old} held SET {', '.join(f'{name} = filled.{name}' for name in values)} FROM {new} filled"
        f" WHERE {same_key} AND ({of_held}) IS DISTINCT FROM ({of_filled})"
    )
    connection.execute(
        f"INSERT INTO {old} ({columns}) SELECT {columns} FROM {new} filled"
        f" WHERE NOT EXISTS (SELECT FROM {old} held WHERE {same_key})"
    )
    count = connection.execute(f"SELECT count(*) FROM {new}").fetchone()
    return int(count[0]) if count else 0


def _wait_for_readers(connection: Connection[Any], names: Sequence[str], seconds: float) -> None:
    """Takes the lock of each table that excludes its readers, until the commit. Between two tries none is held."""
    deadline = time.monotonic() + seconds
    for lock_ms in itertools.cycle(LOCK_MS):
        try:
            with connection.transaction():  # a savepoint: what was merged stays merged
                connection.execute(f"SET LOCAL lock_timeout = {lock_ms}")
                connection.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
            if time.monotonic() >= deadline:
                raise DependencyUnavailable(
                    "The marts are being read all the time",
                    doing="publishing the marts",
                    why=f"for {seconds:g} s there was no moment without a transaction that reads one",
                    hint="The old marts stay. End that transaction (pg_stat_activity) and run `./rd360 lake marts` again.",
                ) from error
        time.sleep(PAUSE_SECONDS)
