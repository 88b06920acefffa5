"""Job: gold.daily into PostgreSQL for dashboards."""

from __future__ import annotations

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import marts, schemas
from lake.database import sole_writer
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings, *, dry_run: bool = False) -> JobReport:
    """`rows_in` is rows of gold.daily, `rows_out` rows of the mart (with `dry_run`: that would be)."""
    watch = Stopwatch("marts")
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake marts"), spark_errors("publishing the marts"):
        rows_in = session.table(schemas.GOLD_DAILY.name).count()
        rows = marts.daily_demand(session)
        rows_out = rows.count() if dry_run else marts.publish(rows, settings)
    return watch.report(rows_in, rows_out, dry_run=dry_run)
