"""Job: master data of products and stores from a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import reference, schemas
from lake.database import sole_writer
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings, folder: Path) -> JobReport:
    """`rows_in` and `rows_out` are products and stores, those without master data included."""
    watch = Stopwatch("reference")
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold"), spark_errors("loading the master data"):
        written = reference.load(session, settings, folder)
    return watch.report(sum(written.values()), sum(written.values()), **written)
