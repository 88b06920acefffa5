"""Job: the holidays of a file in the place of the library's, and gold.calendar made with them."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import schemas, store_calendar
from lake.database import sole_writer
from lake.public_holidays import read_own_days
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings, path: Path, *, dry_run: bool = False) -> JobReport:
    """`rows_in` is holidays of the file, `rows_out` rows of gold.calendar written (with `dry_run`: that would be)."""
    watch = Stopwatch("calendar")
    own = read_own_days(path)
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold"), spark_errors("making the calendar"):
        if dry_run:
            rows = store_calendar.rows_now(session, settings, own)
            written = 0 if rows is None else rows.count()
        else:
            store_calendar.keep_own_days(session, own)
            written = store_calendar.write(session, settings, own)
    days = [each.day for each in own]
    first, last = (min(days).isoformat(), max(days).isoformat()) if days else (None, None)
    return watch.report(len(own), written, first_day=first, last_day=last, dry_run=dry_run)
