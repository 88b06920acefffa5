"""PostgreSQL as the lake uses it: one bounded connection at a time, failures in our own words, and one writer per job."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.spark_conf import CATALOG_DATABASE

CONNECT_SECONDS = 3
LOCK_SPACE = 360  # keeps our advisory locks apart from anybody else's in the same database


@contextmanager
def connect(settings: Settings, database: str, *, doing: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose block is one transaction. Raises DependencyUnavailable when PostgreSQL refuses or does not answer."""
    try:
        connection = psycopg.connect(settings.postgres_url(database), connect_timeout=CONNECT_SECONDS)
    except psycopg.OperationalError as error:
        raise DependencyUnavailable(
            f"PostgreSQL at {settings.postgres} gives no connection to database {database}",
            doing=doing,
            why=str(error).strip().splitlines()[-1],
        ) from error
    with connection:
        yield connection


@contextmanager
def sole_writer(settings: Settings, job: str, wait_seconds: int = 60) -> Iterator[None]:
    """Holds the lock of a job while the block runs, so that two runs of it follow one another, on whatever machines they are.

    The lock ends with its connection, so a killed job leaves none. Raises DependencyUnavailable when another run holds it longer
    than `wait_seconds`.
    """
    with connect(settings, CATALOG_DATABASE, doing=f"starting {job}") as connection:
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
        yield


class JobIsRunning(DependencyUnavailable):
    """Another run of the same job holds its lock."""

    title = "Job is running"


def lock_number(settings: Settings, job: str) -> int:
    """The second key of a job's advisory lock, below LOCK_SPACE: of its name and the lake that it works on."""
    return zlib.crc32(f"{settings.lake_bucket}/{job}".encode()) - 2**31  # PostgreSQL's integer is signed
