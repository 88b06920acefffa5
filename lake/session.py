"""The one way to a Spark session of this project, with its servers asked first so that a missing one is said within seconds."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j publishes no types
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from contracts.errors import ConfigurationError, DataGateError, DependencyUnavailable
from contracts.settings import Settings
from contracts.spark_conf import CATALOG_DATABASE, jar_paths, runs_locally, spark_conf, spark_secrets, workers_python
from lake import cluster
from lake.database import connect

# What a Java trace says where a server is away, or goes away or comes back just then.
_AWAY = (
    *("Connection refused", "ConnectException", "SdkClientException", "UnknownHostException", "TimeoutException"),
    *("Connection reset", "NoHttpResponseException", "Status Code: 500", "Status Code: 503"),  # of the S3 store
    *("This connection has been closed", "An I/O error occurred while sending to the backend"),  # of PostgreSQL
    *("terminating connection due to", "the database system is", "The connection attempt failed"),
)
_GONE = re.compile(r"Location does not exist: (\S+)")  # Iceberg's words for it, whatever the store's own


def open_session(settings: Settings, app_name: str) -> SparkSession:
    """A session whose catalog `lake` works; the running one where this process has one.

    Raises ConfigurationError without Java or the jars, DependencyUnavailable (in under 5 s) when PostgreSQL, the S3 store or
    the cluster's master does not answer.
    """
    local = runs_locally(settings.spark_master)
    require_jars(settings)
    require_catalog(settings)
    require_bucket(settings)
    if not local:
        cluster.require_master(settings.spark_master)
    os.environ["PYSPARK_PYTHON"] = workers_python(settings)  # pyspark takes it from nowhere else
    builder = SparkSession.builder.appName(app_name)
    for key, value in spark_conf(settings).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except PySparkException as error:
        raise ConfigurationError(
            "Spark did not start",
            doing=f"opening the session {app_name}",
            why="there is no `java` on the PATH" if shutil.which("java") is None else str(error).splitlines()[0],
            hint="Spark needs Java 17: `./rd360 doctor` names the command that installs it.",
        ) from error
    for key, value in spark_secrets(settings).items():
        session.conf.set(key, value)
    if not local:
        cluster.send_packages(session)
    return session


def require_jars(settings: Settings) -> None:
    """Raises ConfigurationError naming the first jar that is not there."""
    missing = [path for path in jar_paths(settings) if not path.exists()]
    if missing:
        raise ConfigurationError(
            f"{missing[0]} is missing",
            doing="opening a Spark session",
            why=f"{len(missing)} of Spark's jars were never fetched",
            hint="`./rd360 up --only s3` fetches them.",
        )


def require_catalog(settings: Settings) -> None:
    """Raises DependencyUnavailable when the catalog's database does not answer."""
    with connect(settings, CATALOG_DATABASE, doing="opening the lake's catalog") as connection:
        connection.execute("SELECT 1")


def require_bucket(settings: Settings) -> None:
    """Raises DependencyUnavailable when the S3 store does not answer or has no such bucket for us."""
    patience = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    client = boto3.client(
        "s3",
        endpoint_url=settings.s3,
        region_name=settings.s3_region,
        aws_access_key_id=settings.secret("s3_access_key"),
        aws_secret_access_key=settings.secret("s3_secret_key"),
        config=patience,
    )
    try:
        client.head_bucket(Bucket=settings.lake_bucket)
    except (BotoCoreError, ClientError) as error:
        raise DependencyUnavailable(
            f"The S3 store at {settings.s3} does not give bucket {settings.lake_bucket}",
            doing="opening the lake",
            why=str(error),
        ) from error


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
                why=f"the catalog names a state of a table that needs {gone[1]}, which the store does not have",
                hint="Where the job read for longer than snapshots are kept, run it again. Where an older state of the catalog"
                " was restored, maintenance or later commits have removed its files: restore a newer one. docs/lake.md,"
                " Restoring, says how to find it.",
            ) from error
        if not any(sign in trace for sign in _AWAY):
            raise
        raise DependencyUnavailable("A server stopped answering", doing=doing, why=_first_cause(trace)) from error


def _first_cause(trace: str) -> str:
    causes = [line.strip() for line in trace.splitlines() if line.startswith("Caused by:")]
    return causes[-1] if causes else trace.splitlines()[0]
