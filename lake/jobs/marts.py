"""Job: the marts that dashboards read into PostgreSQL, all in one transaction."""

from __future__ import annotations

import uuid

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import marts, schemas, tables
from lake.database import sole_writer
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings, *, dry_run: bool = False) -> JobReport:
    """`rows_in` is rows of the gold tables that marts are made of, `rows_out` rows of the marts (with `dry_run`: would be)."""
    watch = Stopwatch("marts")
    schemas.create_if_missing(session)
    run_id = uuid.uuid4().hex
    with sole_writer(settings, "lake marts") as lock, spark_errors("publishing the marts"):
        rows_in = sum(tables.rows(session, source) for source in sorted({made.source for made in marts.MARTS}))
        if dry_run:
            rows = {made.mart.name: made.rows(session).count() for made in marts.MARTS}
        else:
            rows = marts.publish(session, settings, run_id, watch.started_at, lock.require)
    return watch.report(rows_in, sum(rows.values()), marts=rows, run_id=None if dry_run else run_id, dry_run=dry_run)
