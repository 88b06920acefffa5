"""The Spark session in which Feast joins: the running one of this process, or a new one on the lake."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # publishes no types
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import SparkSession

from contracts.errors import ConfigurationError, DependencyUnavailable, NotFoundError
from contracts.settings import Settings
from contracts.spark_conf import jar_paths, spark_conf, spark_secrets, workers_python

_UNREACHABLE = ("Connection refused", "ConnectException", "SdkClientException", "UnknownHostException", "TimeoutException")
_FOR_FEAST = {
    # Feast switches this on in the session and leaves it on: names in backticks then are regular expressions, for everybody.
    "spark.sql.parser.quotedRegexColumnNames": "true",
    # A frame below this many bytes becomes constants in the plan, which the optimizer copies and evaluates in every branch of
    # Feast's query: 48,000 questions ran out of 1.5 GB. As an RDD they are scanned.
    "spark.sql.execution.arrow.localRelationThreshold": "0",
}


def lake_session(settings: Settings) -> tuple[SparkSession, bool]:
    """A session whose catalog `lake` works, and whether it was started here.

    Raises ConfigurationError without the jars or Java, DependencyUnavailable when the S3 store does not answer within 3 s.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        return running, False
    _require(settings)
    os.environ["PYSPARK_PYTHON"] = workers_python(settings)  # pyspark takes it from nowhere else
    builder = SparkSession.builder.appName("rd360-features")
    for key, value in spark_conf(settings).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except PySparkException as error:
        raise ConfigurationError(
            "Spark did not start", doing="opening the offline store", why=str(error).splitlines()[0]
        ) from error
    for key, value in spark_secrets(settings).items():
        session.conf.set(key, value)
    return session, True


@contextmanager
def feast_in(session: SparkSession, doing: str) -> Iterator[None]:
    """The session as Feast needs it while the block runs, and as it was afterwards. Maps Spark's errors onto ours."""
    before = {key: str(session.conf.get(key)) for key in _FOR_FEAST}
    try:
        for key, value in _FOR_FEAST.items():
            session.conf.set(key, value)
        yield
    except (PySparkException, Py4JError) as error:
        raise _mapped(error, doing) from error
    finally:
        for key, value in before.items():
            session.conf.set(key, value)


def _mapped(error: Exception, doing: str) -> Exception:
    if isinstance(error, AnalysisException) and error.getCondition() == "TABLE_OR_VIEW_NOT_FOUND":
        return NotFoundError(
            "A feature table was never written", doing=doing, why=str(error).splitlines()[0], hint="`./rd360 lake run` writes it."
        )
    trace = str(error)
    if any(sign in trace for sign in _UNREACHABLE):
        causes = [line.strip() for line in trace.splitlines() if line.startswith("Caused by:")]
        return DependencyUnavailable("A server stopped answering", doing=doing, why=(causes or trace.splitlines())[-1])
    return error


def _require(settings: Settings) -> None:
    missing = [path for path in jar_paths(settings) if not path.exists()]
    if missing:
        raise ConfigurationError(
            f"{missing[0]} is missing",
            doing="opening the offline store",
            why=f"{len(missing)} of Spark's jars were never fetched",
            hint="`./rd360 up --only s3` fetches them.",
        )
    address = urlsplit(settings.s3)
    try:
        socket.create_connection((str(address.hostname), address.port or 443), timeout=3).close()
    except OSError as error:
        raise DependencyUnavailable(
            f"The S3 store at {settings.s3} does not answer", doing="opening the offline store", why=str(error)
        ) from error
