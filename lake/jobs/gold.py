"""Job: gold.daily for the days that new silver rows touch, the returns of these days with the sales they give back, a
master-data row for every product and store that is seen, and the calendar of the stores.
"""

from __future__ import annotations

import datetime as dt

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import (
    brokers,
    gold,
    progress,
    public_holidays,
    quality,
    quality_log,
    reference,
    returns,
    schemas,
    steps,
    store_calendar,
)
from lake.database import sole_writer
from lake.quality_check import Finding, check, held_back, publishable
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.table import Table
from lake.tables import last_commit

LATEST_COLUMN = "received_units"  # of gold.daily; never null in a row that was made with it
_SOURCES = {"sales": "local_day", "inventory": "local_day", "prices": "valid_from"}  # kind -> the first day a row can change


def run(session: SparkSession, settings: Settings, *, full: bool = False, dry_run: bool = False) -> JobReport:
    """`rows_in` is silver rows that gold had not seen, `rows_out` rows of gold.daily written (with `dry_run`: that would be).

    Months of which a quality rule does not hold keep their old rows, the others are published. Raises DataGateError then, and
    leaves the progress where it was, so that the next run tries again.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("gold")
    public_holidays.require_known(settings)
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold"), spark_errors("making gold from silver"):
        steps.begin(session, schemas.GOLD_DAILY.name)
        seen = progress.read(session, schemas.SILVER_PROGRESS)
        known_from, latest_ms = _span(session)
        new_rows, changed_from = first_changed_day(session, settings, known_from)
        if full:
            changed_from = known_from
        if changed_from is None or latest_ms is None:
            return watch.report(new_rows, 0, first_day=None)
        first_day = changed_from.replace(day=1)  # the table's partitions are months, and each is replaced whole
        sales, inventory, prices = (session.table(schemas.SILVER_OF_KIND[kind].name) for kind in _SOURCES)
        rows = gold.daily(sales, inventory, prices, settings, sf.lit(first_day), latest_ms)
        if dry_run:
            return watch.report(new_rows, rows.count(), first_day=first_day.isoformat(), dry_run=True)
        rows = rows.localCheckpoint()  # what is checked is what is written
        given_back = returns.returns(sales, sf.lit(first_day)).localCheckpoint()
        since = sf.col("local_day") >= sf.lit(first_day)
        checked = {
            schemas.GOLD_DAILY.name: rows,
            schemas.GOLD_RETURNS.name: given_back,
            schemas.SILVER_SALES.name: sales.where(since),
            schemas.SILVER_INVENTORY.name: inventory.where(since),
        }
        replaced = sf.lit(True) if full else since
        steps.begin(session, "quality rules")
        findings = check(rules, checked, settings)
        quality_log.record(settings, quality_log.BEFORE, watch.started_at, findings)
        passing = publishable(findings)
        written = _replace(session, rows.where(passing), schemas.GOLD_DAILY, replaced & passing)
        returned = _replace(session, given_back.where(passing), schemas.GOLD_RETURNS, replaced & passing)
        added = reference.complete(session, settings)
        calendar_rows = store_calendar.write(session, settings)
        if any(finding.stops for finding in findings):
            if full:  # there may be nothing new that would bring the next run to these months
                progress.write(session, schemas.GOLD_PROGRESS, {})
            raise _held(findings)
        progress.write(session, schemas.GOLD_PROGRESS, seen)
    return watch.report(
        new_rows,
        written,
        first_day=first_day.isoformat(),
        returns=returned,
        calendar_rows=calendar_rows,
        master_rows_changed=added,
        warnings=[str(finding) for finding in findings if finding.months],
    )


def _held(findings: list[Finding]) -> DataGateError:
    months = ", ".join(f"{month:%Y-%m}" for month in held_back(findings)) or "every month"
    return DataGateError(
        f"Gold keeps its old rows of {months}",
        doing="making gold from silver",
        why="rows break the quality rules " + "; ".join(str(finding) for finding in findings if finding.stops),
        hint="The other months are published. Put the cause right and run `./rd360 lake gold` again.",
    )


def _replace(session: SparkSession, rows: DataFrame, table: Table, replaced: Column) -> int:
    steps.begin(session, table.name)
    rows.writeTo(table.name).overwrite(replaced)
    return int(last_commit(session, table.name).get("added-records", 0))


def first_changed_day(session: SparkSession, settings: Settings, known_from: dt.date | None) -> tuple[int, dt.date | None]:
    """How many silver rows gold has not seen, and the first local day that they can change; no day where there are none.

    A day that was still running when gold was made changes too, and so does every later one: stock is carried forward. So does
    a day that was made before gold had its latest columns. Before `known_from` there are no days.
    """
    seen = progress.read(session, schemas.GOLD_PROGRESS)
    topics = {kind: topic for topic, kind in brokers.source_topics(settings).items()}
    parts = [
        session.table(schemas.SILVER_OF_KIND[kind].name)
        .where(progress.not_seen(seen, [topics[kind]]))
        .select(sf.col(day).alias("day"))
        for kind, day in _SOURCES.items()
    ]
    new = parts[0].union(parts[1]).union(parts[2]).agg(sf.count("*").alias("rows"), sf.min("day").alias("day")).collect()[0]
    if not new["rows"]:
        return 0, None
    unfinished = ~sf.col("complete") | sf.col(LATEST_COLUMN).isNull()
    first_unfinished = session.table(schemas.GOLD_DAILY.name).where(unfinished).agg(sf.min("local_day")).collect()[0][0]
    first = min(day for day in (new["day"], first_unfinished) if day is not None)
    return new["rows"], max(first, known_from or first)


def _span(session: SparkSession) -> tuple[dt.date | None, int | None]:
    """The first local day of any sale or stock event, and the instant of the latest sale."""
    sales = session.table(schemas.SILVER_SALES.name).select("local_day", "event_time_ms")
    stock = session.table(schemas.SILVER_INVENTORY.name).select("local_day", sf.lit(None).cast("bigint").alias("event_time_ms"))
    row = sales.union(stock).agg(sf.min("local_day").alias("first"), sf.max("event_time_ms").alias("latest")).collect()[0]
    return row["first"], row["latest"]
