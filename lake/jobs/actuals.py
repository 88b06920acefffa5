"""Job: gold.forecast_actual, for the months of target days in which a forecast or what came of it has changed, or for those of a
span that somebody asks for.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import UsageError
from contracts.settings import Settings
from lake import quality, schemas, source_files, steps, tables
from lake.database import sole_writer
from lake.forecast_actual import judged, scored, served
from lake.months import Days
from lake.quality_gate import Gate
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.source_files import FileDays

_TABLE = schemas.GOLD_FORECAST_ACTUAL.name
_DOING = "holding forecasts against what came"
_FORECASTS = (schemas.SILVER_FORECASTS.name, schemas.GOLD_FORECASTS.name)
# Sales are not among them: gold.daily is made anew where they change.
_DAY_OF = {**dict.fromkeys(_FORECASTS, "target_day"), schemas.GOLD_DAILY.name: "local_day"}

Snapshots = Mapping[str, int | None]  # table -> its snapshot; None: it has none yet


def run(
    session: SparkSession, settings: Settings, *, full: bool = False, days: Days | None = None, dry_run: bool = False
) -> JobReport:
    """`rows_in` is forecasts × target days of the months made anew, `rows_out` as many rows (with `dry_run`: that would be).

    Months are made anew whole, `full` makes all of them; so does a run to which the sources' snapshots do not say any more what
    has changed. With `days` the months of these target days are made anew whatever has been seen, which stays as it is. A month
    that breaks a quality rule keeps its old rows. Raises HeldBack then, and leaves the progress where it was, so that the next
    run tries again; UsageError where nothing was forecast for the `days`.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("actuals")
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake actuals") as lock, spark_errors(_DOING):
        steps.begin(session, _TABLE)
        # asked before the rows are read: what comes between is seen by the next run
        now = {table: tables.current_snapshot(session, table) for table in _DAY_OF}
        seen = _seen(session)
        moved = None if full or days else _moved(session, seen, now)
        months = _asked(session, days) if days else _months(session, moved)
        every = moved is None and not days
        if not every and not months:
            if now != seen and not dry_run:
                lock.require()
                _note(session, now)
            return watch.report(0, 0, months=[])
        rows = _rows(session, settings, months)
        if dry_run:
            count = rows.count()
            return watch.report(count, count, months=_names(months), dry_run=True)
        gate = Gate(session, settings, rules, watch.started_at, lock.require)
        replaced = sf.lit(True) if every else source_files.within(months, "target_day")
        written = gate.publish({_TABLE: rows}, replaced)[_TABLE]
        if gate.stopped and every:  # there may be nothing new that would bring the next run to these months
            _note(session, {})
        gate.require_passed(_DOING)
        if days is None:
            lock.require()
            _note(session, now)
    return watch.report(written, written, months=_names(months), warnings=gate.warnings)


def _rows(session: SparkSession, settings: Settings, months: list[dt.date]) -> DataFrame:
    forecasts = served(session.table(schemas.SILVER_FORECASTS.name))
    forecasts = forecasts.unionByName(scored(session.table(schemas.GOLD_FORECASTS.name)))
    days = source_files.within(months, "local_day")
    daily, sales = (session.table(name).where(days) for name in (schemas.GOLD_DAILY.name, schemas.SILVER_SALES.name))
    return judged(forecasts.where(source_files.within(months, "target_day")), daily, sales, settings)


def _moved(session: SparkSession, seen: Snapshots, now: Snapshots) -> dict[str, list[FileDays]] | None:
    """The days of the files that came or went since the snapshots that were seen, by table; None where that is not known."""
    found: dict[str, list[FileDays]] = {}
    for table, day in _DAY_OF.items():
        since = source_files.between(source_files.commits(session, table), seen[table], now[table]) if table in seen else None
        if since is None:
            return None
        found[table] = source_files.moved_files(session, table, day, since)
    return found


def _months(session: SparkSession, moved: Mapping[str, list[FileDays]] | None) -> list[dt.date]:
    """The months of forecasts that are made anew: those that the moved files touch, or all where these are not known."""
    if moved is not None and not any(moved.values()):
        return []
    there = _forecast_days(session)
    if moved is None:
        return source_files.months(there)
    return source_files.changed([days for table in _FORECASTS for days in moved[table]], moved[schemas.GOLD_DAILY.name], there)


def _asked(session: SparkSession, days: Days) -> list[dt.date]:
    """The months of a span in which there are forecasts. Raises UsageError where there are none."""
    wanted = set(source_files.months([(days.first, days.last)]))
    months = source_files.months(_forecast_days(session))
    if found := [month for month in months if month in wanted]:
        return found
    raise UsageError(
        f"Nothing was forecast for the months of {days.first} to {days.last}",
        doing=_DOING,
        why=f"the months with forecasts are {', '.join(_names(months)) or 'none'}",
        hint="Choose a span that meets them.",
    )


def _forecast_days(session: SparkSession) -> list[FileDays]:
    return [days for table in _FORECASTS for days in source_files.files(session, table, _DAY_OF[table])]


def _seen(session: SparkSession) -> Snapshots:
    return {row["source"]: row["snapshot_id"] for row in session.table(schemas.FORECAST_ACTUAL_PROGRESS).collect()}


def _note(session: SparkSession, snapshots: Snapshots) -> None:
    rows = session.createDataFrame(sorted(snapshots.items()), "source string, snapshot_id bigint").coalesce(1)
    rows.writeTo(schemas.FORECAST_ACTUAL_PROGRESS).overwrite(sf.lit(True))


def _names(months: list[dt.date]) -> list[str]:
    return [f"{month:%Y-%m}" for month in months]
