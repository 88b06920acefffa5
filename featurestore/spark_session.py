"""How a Spark session on the lake starts, and the one in which Feast joins: that of this process, or a new one."""

from __future__ import annotations

import os
import shutil
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

# What a Java trace says where a server is away, or goes away or comes back just then.
_AWAY = (
    *("Connection refused", "ConnectException", "SdkClientException", "UnknownHostException", "TimeoutException"),
    *("Connection reset", "NoHttpResponseException", "Status Code: 500", "Status Code: 503"),  # of the S3 store
    *("This connection has been closed", "An I/O error occurred while sending to the backend"),  # of PostgreSQL
    *("terminating connection due to", "the database system is", "The connection attempt failed"),
)
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
    require_jars(settings)
    _require_store(settings)
    return start(settings, "rd360-features"), True


def start(settings: Settings, app_name: str) -> SparkSession:
    """A session as the settings say; the running one where this process has one. Raises ConfigurationError without Java."""
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


def server_away(error: Exception, doing: str) -> DependencyUnavailable | None:
    """What Spark's error is where a server stopped answering; None where it is something else."""
    trace = str(error)
    if not any(sign in trace for sign in _AWAY):
        return None
    causes = [line.strip() for line in trace.splitlines() if line.startswith("Caused by:")]
    return DependencyUnavailable("A server stopped answering", doing=doing, why=(causes or trace.splitlines()[:1])[-1])


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
    return server_away(error, doing) or error


def _require_store(settings: Settings) -> None:
    address = urlsplit(settings.s3)
    try:
        socket.create_connection((str(address.hostname), address.port or 443), timeout=3).close()
    except OSError as error:
        raise DependencyUnavailable(
            f"The S3 store at {settings.s3} does not answer", doing="opening the offline store", why=str(error)
        ) from error
