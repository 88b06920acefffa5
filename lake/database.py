"""PostgreSQL as the lake uses it: one bounded connection at a time, failures in our own words, and one writer per job."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.spark_conf import CATALOG_DATABASE
from contracts.tables import CREATE_LOCK

CONNECT_SECONDS = 3
LOCK_SPACE = 360  # keeps our advisory locks apart from anybody else's in the same database
_NONE: Mapping[str, str] = {}
# Either side learns within two minutes that the other is gone: a holder that lost its network, a machine that lost its power
_KEPT_ALIVE = {
    "keepalives_idle": "60",
    "keepalives_interval": "15",
    "keepalives_count": "4",
    "options": "-c tcp_keepalives_idle=60 -c tcp_keepalives_interval=15 -c tcp_keepalives_count=4",
}


@contextmanager
def connect(
    settings: Settings, database: str, *, doing: str, parameters: Mapping[str, str] = _NONE
) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose block is one transaction; `parameters` are libpq's.

    Raises DependencyUnavailable when PostgreSQL refuses or does not answer.
    """
    try:
        address = make_conninfo(settings.postgres_url(database), connect_timeout=CONNECT_SECONDS, **parameters)
        connection = psycopg.connect(address)
    except psycopg.OperationalError as error:
        raise DependencyUnavailable(
            f"PostgreSQL at {settings.postgres} gives no connection to database {database}",
            doing=doing,
            why=str(error).strip().splitlines()[-1],
        ) from error
    with connection:
        yield connection


class Lock:
    """The lock of a job, as its holder has it. It lives with its connection: PostgreSQL's restart ends it without a word."""

    def __init__(self, settings: Settings, job: str, connection: psycopg.Connection[Any]) -> None:
        self._settings, self._job, self._connection = settings, job, connection

    def require(self) -> None:
        """To be called before what only one writer may do. Raises DependencyUnavailable where the lock is no longer held."""
        try:
            self._connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            raise DependencyUnavailable(
                f"The lock of {self._job} is lost",
                doing=f"writing as its only holder, by PostgreSQL at {self._settings.postgres}",
                why=str(error).strip().splitlines()[0],
                hint="Another run may have begun. Run it again: it goes on after what is written, and removes what is half done.",
            ) from error


def ensure_table(connection: psycopg.Connection[Any], table: str, ddl: str) -> None:
    """Makes a `schema.table` and its schema where they are missing. Others who make some wait until this transaction ends."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (CREATE_LOCK,))
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {table.split('.')[0]}")
    connection.execute(ddl)


@contextmanager
def sole_writer(settings: Settings, job: str, wait_seconds: int = 60) -> Iterator[Lock]:
    """Holds the lock of a job while the block runs, so that two runs of it follow one another, on whatever machines they are.

    The lock ends with its connection, so a killed job leaves none. Raises DependencyUnavailable when another run holds it longer
    than `wait_seconds`, and at the end of a block that went well where it was lost meanwhile.
    """
    with connect(settings, CATALOG_DATABASE, doing=f"starting {job}", parameters=_KEPT_ALIVE) as connection:
        connection.autocommit = True  # a transaction open for the whole job would hold back PostgreSQL's cleaning
        connection.execute(f"SET lock_timeout = '{wait_seconds}s'")
        try:
            connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_SPACE, lock_number(settings, job)))
        except psycopg.errors.LockNotAvailable as error:
            raise JobIsRunning(
                f"Another run of {job} is under way",
                doing=f"starting {job}",
                why=f"it held its lock for {wait_seconds} s",
                hint="Wait for it to end, or stop it.",
            ) from error
        lock = Lock(settings, job, connection)
        yield lock
        lock.require()


class JobIsRunning(DependencyUnavailable):
    """Another run of the same job holds its lock."""

    title = "Job is running"


def lock_number(settings: Settings, job: str) -> int:
    """The second key of a job's advisory lock, below LOCK_SPACE: of its name and the lake that it works on."""
    return zlib.crc32(f"{settings.lake_bucket}/{job}".encode()) - 2**31  # PostgreSQL's integer is signed
