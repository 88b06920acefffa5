"""Job: the holidays of a file in the place of the library's, and gold.calendar made with them."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import quality, schemas, store_calendar
from lake.database import sole_writer
from lake.public_holidays import read_own_days
from lake.quality_gate import Gate
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

_DOING = "making the calendar"


def run(session: SparkSession, settings: Settings, path: Path, *, dry_run: bool = False) -> JobReport:
    """`rows_in` is holidays of the file, `rows_out` rows of gold.calendar written (with `dry_run`: that would be).

    Raises HeldBack where they break a quality rule: the holidays and the calendar of before stay.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("calendar")
    own = read_own_days(path)
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold") as lock, spark_errors(_DOING):
        gate = Gate(session, settings, rules, watch.started_at, lock.require)
        if dry_run:
            rows = store_calendar.rows_now(session, settings, own)
            written = 0 if rows is None else rows.count()
        else:
            written = store_calendar.write(gate, own)
            gate.require_passed(_DOING)
    days = [each.day for each in own]
    first, last = (min(days).isoformat(), max(days).isoformat()) if days else (None, None)
    return watch.report(len(own), written, first_day=first, last_day=last, warnings=gate.warnings, dry_run=dry_run)
