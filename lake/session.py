"""The one way to a Spark session of this project, with its servers asked first so that a missing one is said within seconds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j publishes no types
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from contracts.errors import DataGateError
from contracts.settings import Settings
from contracts.spark_conf import CATALOG_DATABASE, runs_locally
from featurestore.spark_session import require_jars, server_away, start
from lake import cluster, object_store
from lake.database import connect

# Iceberg's words for it, and what S3's client says where Iceberg only asks how long a file is
_GONE = re.compile(r"Location does not exist: (\S+)|NoSuchKeyException")


def open_session(settings: Settings, app_name: str) -> SparkSession:
    """A session whose catalog `lake` works; the running one where this process has one.

    Raises ConfigurationError without Java or the jars, DependencyUnavailable (in under 5 s) when PostgreSQL, the S3 store or
    the cluster's master does not answer.
    """
    local = runs_locally(settings.spark_master)
    require_jars(settings)
    require_catalog(settings)
    object_store.require_bucket(settings)
    if not local:
        cluster.require_master(settings.spark_master)
    session = start(settings, app_name)
    if not local:
        cluster.send_packages(session)
    return session


def require_catalog(settings: Settings) -> None:
    """Raises DependencyUnavailable when the catalog's database does not answer."""
    with connect(settings, CATALOG_DATABASE, doing="opening the lake's catalog") as connection:
        connection.execute("SELECT 1")


@contextmanager
def spark_errors(doing: str) -> Iterator[None]:
    """Maps what Spark raises when a server goes away in the middle of a job onto DependencyUnavailable, and where the store has
    not a file that the catalog or a table names onto DataGateError. The rest stays a bug.
    """
    try:
        yield
    except (PySparkException, Py4JError) as error:
        trace = str(error)
        if gone := _GONE.search(trace):
            raise DataGateError(
                "A file of the lake is gone",
                doing=doing,
                why=f"the catalog names a state of a table that needs {gone[1] or 'one'}, which the store does not have",
                hint="Where the job read for longer than snapshots are kept, run it again. Where an older state of the catalog"
                " was restored, maintenance or later commits have removed its files: restore a newer one. docs/lake.md,"
                " Restoring, says how to find it.",
            ) from error
        away = server_away(error, doing)
        if away is None:
            raise
        raise away from error
