"""How Spark and PyIceberg reach the lake: configuration as plain dictionaries, so that every session has the same.

`lake.session` and Feast's Spark offline store start Spark with `spark_conf`; PyIceberg opens the same catalog by
`iceberg_properties`. Neither library is imported here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from contracts.settings import CHECKOUT, Settings
from contracts.tables import CATALOG

CATALOG_DATABASE = "lake_catalog"
# by itself the JVM warns on stdout ("CodeCache is full"), in the middle of what `--json` promises to be one document
_JVM_WARNS_ON_STDERR = "-Xlog:disable -Xlog:all=warning:stderr"
JARS = (  # versions match Spark 4.1.1, Scala 2.13 and each other; see infra/jars.lock
    "commons-pool2-2.12.1.jar",
    "iceberg-aws-bundle-1.12.0.jar",
    "iceberg-spark-runtime-4.1_2.13-1.12.0.jar",
    "kafka-clients-3.9.1.jar",
    "postgresql-42.7.14.jar",
    "spark-sql-kafka-0-10_2.13-4.1.1.jar",
    "spark-token-provider-kafka-0-10_2.13-4.1.1.jar",
)


def jar_folder(settings: Settings) -> Path:
    """Where the jars are that PyPI's pyspark lacks."""
    return settings.home / "jars" / "spark"


def jar_paths(settings: Settings) -> list[Path]:
    """The jars that a session needs, whether they are there or not."""
    return [jar_folder(settings) / name for name in JARS]


def warehouse(settings: Settings) -> str:
    """The root of all tables' files."""
    return f"s3://{settings.lake_bucket}/warehouse"


def runs_locally(master: str) -> bool:
    """Whether a Spark master is the driver's own process, so that there are no executors on other machines."""
    return master.startswith("local")


def workers_python(settings: Settings) -> str:
    """The interpreter of Spark's Python workers: this one, or on a cluster, where it may stand elsewhere, PYSPARK_PYTHON."""
    return sys.executable if runs_locally(settings.spark_master) else os.environ.get("PYSPARK_PYTHON", sys.executable)


def spark_conf(settings: Settings) -> dict[str, str]:
    """Everything that a Spark session of this project is started with, except what `spark_secrets` adds."""
    scratch = settings.home / "data" / "spark"
    return {
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # one run of bronze, silver and gold compiles over 500 pieces: of the default's 100 none was left for the next run
        "spark.sql.codegen.cache.maxEntries": "2000",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.local.dir": str(scratch / "tmp"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.jars.ivy": str(scratch / "ivy"),
        "spark.driver.extraJavaOptions": f'"-Dderby.system.home={scratch / "derby"}" {_JVM_WARNS_ON_STDERR}',
        **_of_master(settings),
        **_catalog(settings),
    }


def spark_secrets(settings: Settings) -> dict[str, str]:
    """The session settings that hold secrets. Set them on the running session (`session.conf.set`), before the first table is
    read: what a session is started with stands on the command line of the JVM, for every user of the machine to see.
    """
    prefix = f"spark.sql.catalog.{CATALOG}"
    return {
        f"{prefix}.jdbc.password": settings.secret("postgres_password"),
        f"{prefix}.s3.access-key-id": settings.secret("s3_access_key"),
        f"{prefix}.s3.secret-access-key": settings.secret("s3_secret_key"),
    }


def iceberg_properties(settings: Settings) -> dict[str, str]:
    """The properties of `pyiceberg.catalog.load_catalog(CATALOG, **properties)`: the tables that Spark sees, secrets included."""
    return {
        "type": "sql",
        "uri": settings.postgres_url(CATALOG_DATABASE, driver="postgresql+psycopg"),
        "warehouse": warehouse(settings),
        "s3.endpoint": settings.s3,
        "s3.region": settings.s3_region,
        "s3.access-key-id": settings.secret("s3_access_key"),
        "s3.secret-access-key": settings.secret("s3_secret_key"),
    }


def _of_master(settings: Settings) -> dict[str, str]:
    """A local session takes jars and packages where they are; a cluster's executors get them from the driver."""
    jars = [str(path) for path in jar_paths(settings)]
    if runs_locally(settings.spark_master):
        return {
            "spark.sql.shuffle.partitions": "8",  # adaptive execution merges small ones and splits skewed ones
            "spark.executorEnv.PYTHONPATH": str(CHECKOUT),  # the Python workers import `contracts`
            "spark.driver.extraClassPath": ":".join(jars),  # `spark.jars` would copy 150 MB for every session
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
    cores = settings.spark_executor_cores
    return {
        "spark.jars": ",".join(jars),
        "spark.executor.memory": settings.spark_executor_memory,
        **({} if cores is None else {"spark.executor.cores": str(cores)}),
    }


def _catalog(settings: Settings) -> dict[str, str]:
    prefix = f"spark.sql.catalog.{CATALOG}"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        prefix: "org.apache.iceberg.spark.SparkCatalog",
        f"{prefix}.type": "jdbc",
        f"{prefix}.uri": f"jdbc:postgresql://{settings.postgres}/{CATALOG_DATABASE}",
        f"{prefix}.jdbc.user": settings.postgres_user,
        f"{prefix}.jdbc.schema-version": "V1",  # the layout that PyIceberg reads too
        f"{prefix}.warehouse": warehouse(settings),
        f"{prefix}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{prefix}.s3.endpoint": settings.s3,
        f"{prefix}.s3.path-style-access": "true",
        f"{prefix}.client.region": settings.s3_region,
        f"{prefix}.cache-enabled": "false",  # other processes and PyIceberg write the same tables
    }
