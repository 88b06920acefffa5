"""Job: gold.forecast_actual, for the months of target days in which a forecast or what came of it has changed."""

from __future__ import annotations

import datetime as dt

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import quality, schemas, source_files, steps
from lake.database import sole_writer
from lake.forecast_actual import judged, scored, served
from lake.quality_gate import Gate
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

_TABLE = schemas.GOLD_FORECAST_ACTUAL.name
_DOING = "holding forecasts against what came"


def run(session: SparkSession, settings: Settings, *, full: bool = False, dry_run: bool = False) -> JobReport:
    """`rows_in` is forecasts × target days of the months made anew, `rows_out` as many rows (with `dry_run`: that would be).

    Months are made anew whole, `full` makes all of them. One that breaks a quality rule keeps its old rows, and the next run
    tries it again. Raises DataGateError then.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("actuals")
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake actuals") as lock, spark_errors(_DOING):
        steps.begin(session, _TABLE)
        # asked before the rows are read: what comes between is seen by the next run
        now = _source_months(session)
        before = {} if full else _known_months(session)
        months = source_files.changed(before, now)
        if not months and not full:
            return watch.report(0, 0, months=[])
        rows = _rows(session, settings, months)
        if dry_run:
            count = rows.count()
            return watch.report(count, count, months=_names(months), dry_run=True)
        gate = Gate(session, settings, rules, watch.started_at, lock.require)
        published = gate.publish({_TABLE: rows}, sf.lit(True) if full else source_files.within(months, "target_day"))
        made = {month: files for month, files in now.items() if month not in months or not published.keeps(month)}
        known = session.createDataFrame(sorted(made.items()), "month date, files string").coalesce(1)
        known.writeTo(schemas.FORECAST_ACTUAL_SOURCES).overwrite(sf.lit(True))
        gate.require_passed(_DOING)
    written = published.rows[_TABLE]
    return watch.report(written, written, months=_names(months), warnings=gate.warnings)


def _rows(session: SparkSession, settings: Settings, months: list[dt.date]) -> DataFrame:
    forecasts = served(session.table(schemas.SILVER_FORECASTS.name))
    forecasts = forecasts.unionByName(scored(session.table(schemas.GOLD_FORECASTS.name)))
    days = source_files.within(months, "local_day")
    daily, sales = (session.table(name).where(days) for name in (schemas.GOLD_DAILY.name, schemas.SILVER_SALES.name))
    return judged(forecasts.where(source_files.within(months, "target_day")), daily, sales, settings)


def _source_months(session: SparkSession) -> source_files.Months:
    """Of forecasts and gold.daily. Sales are not asked: gold.daily is made anew where they change."""
    forecasts = (schemas.SILVER_FORECASTS, schemas.GOLD_FORECASTS)
    leading = [file for table in forecasts for file in source_files.files(session, table.name, "target_day")]
    return source_files.months(leading, source_files.files(session, schemas.GOLD_DAILY.name, "local_day"))


def _known_months(session: SparkSession) -> source_files.Months:
    return {row["month"]: row["files"] for row in session.table(schemas.FORECAST_ACTUAL_SOURCES).collect()}


def _names(months: list[dt.date]) -> list[str]:
    return [f"{month:%Y-%m}" for month in months]
