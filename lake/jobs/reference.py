"""Job: master data of products and stores from a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from contracts.clock import Clock, system_clock
from contracts.settings import Settings
from lake import reference, schemas
from lake.database import sole_writer
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings, folder: Path, clock: Clock = system_clock) -> JobReport:
    """`rows_in` and `rows_out` are products and stores, those without master data included; `changed` the keys with a version
    made or closed.
    """
    watch = Stopwatch("reference", clock)
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold"), spark_errors("loading the master data"):
        loaded = reference.load(session, settings, folder, clock())
    rows = {name: view.rows for name, view in loaded.items()}
    changed = {name: view.changed for name, view in loaded.items()}
    return watch.report(sum(rows.values()), sum(rows.values()), **rows, changed=changed)
