"""Job: gold.daily for the days that new silver rows touch, or for those that are asked for; the returns of these days with the
sales they give back; a master-data row for every product and store that is seen, and the calendar of the stores.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.settings import Settings
from lake import brokers, gold, months, progress, public_holidays, quality, reference, returns, schemas, steps, store_calendar
from lake.database import sole_writer
from lake.months import Days, Known, Months
from lake.quality_gate import Gate
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors
from lake.tables import as_it_stands

LATEST_COLUMN = "transferred_units"  # of gold.daily; never null in a row that was made with it
_MADE = (schemas.GOLD_DAILY.name, schemas.GOLD_RETURNS.name)  # in the order in which they are published
_DOING = "making gold from silver"
_SOURCES = {"sales": "local_day", "inventory": "local_day", "prices": "valid_from"}  # kind -> the first day a row can change


def run(
    session: SparkSession, settings: Settings, *, full: bool = False, days: Days | None = None, dry_run: bool = False
) -> JobReport:
    """`rows_in` is silver rows that gold had not seen, `rows_out` rows of gold.daily written (with `dry_run`: that would be).

    With `days` the months of these are made anew whatever gold has seen, which stays as it is. What breaks a quality rule keeps
    its old rows: a month, or all of the master data or the calendar; the rest is published. Raises HeldBack then, and leaves
    the progress where it was, so that the next run tries again; UsageError where silver has none of the `days`.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("gold")
    public_holidays.require_known(settings)
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold") as lock, spark_errors(_DOING):
        steps.begin(session, schemas.GOLD_DAILY.name)
        seen = progress.read(session, schemas.SILVER_PROGRESS)
        silver = {kind: as_it_stands(session, schemas.SILVER_OF_KIND[kind]) for kind in _SOURCES}
        known = months.known(silver["sales"], silver["inventory"])
        new_rows, chosen = (0, months.within(days, known).months) if days else _changed(session, settings, known, full=full)
        if chosen is None or known.latest_ms is None:
            return watch.report(new_rows, 0, first_day=None)
        made = _made(silver, settings, chosen, known.latest_ms)
        said: dict[str, Any] = {"first_day": chosen.first.isoformat(), "months": chosen.names(known.last_day or chosen.first)}
        if dry_run:
            rows = {table: frame.count() for table, frame in made.items()}
            return watch.report(new_rows, rows[schemas.GOLD_DAILY.name], **said, rows=rows, dry_run=True)
        gate = Gate(session, settings, rules, watch.started_at, lock.require)
        in_months = chosen.hold(sf.col("local_day"))
        rows = gate.publish(made, sf.lit(True) if full else in_months, _judged(silver, in_months))
        added = reference.complete(gate)
        calendar_rows = store_calendar.write(gate)
        if gate.stopped and full:  # there may be nothing new that would bring the next run to these months
            progress.write(session, schemas.GOLD_PROGRESS, {})
        gate.require_passed(_DOING)
        if days is None:
            lock.require()
            progress.write(session, schemas.GOLD_PROGRESS, seen)
    return watch.report(
        new_rows,
        rows[schemas.GOLD_DAILY.name],
        **said,
        rows=rows,
        calendar_rows=calendar_rows,
        master_rows_changed=added,
        warnings=gate.warnings,
    )


def _changed(session: SparkSession, settings: Settings, known: Known, *, full: bool) -> tuple[int, Months | None]:
    """How many silver rows gold has not seen, and the months that they can change, or all of them; none where there are none."""
    new_rows, first = first_changed_day(session, settings, known.first_day)
    if full:
        first = known.first_day
    return new_rows, None if first is None else Months(first.replace(day=1))


def _made(silver: Mapping[str, DataFrame], settings: Settings, chosen: Months, latest_ms: int) -> dict[str, DataFrame]:
    """The rows of these months, by table."""
    sales, inventory, prices = (silver[kind] for kind in _SOURCES)
    daily = gold.daily(sales, inventory, prices, settings, sf.lit(chosen.first), latest_ms, chosen.last_day)
    given_back = returns.returns(sales, chosen.hold(sf.col("local_day")))
    return dict(zip(_MADE, (daily, given_back), strict=True))


def _judged(silver: Mapping[str, DataFrame], in_months: Column) -> dict[str, DataFrame]:
    """The events of the months that the rules are asked of too, by table."""
    by_name = {schemas.SILVER_OF_KIND[kind].name: rows for kind, rows in silver.items()}
    return {name: by_name[name].where(in_months) for name in quality.JUDGED_SOURCES}


def first_changed_day(session: SparkSession, settings: Settings, known_from: dt.date | None) -> tuple[int, dt.date | None]:
    """How many silver rows gold has not seen, and the first local day that they can change; no day where there are none.

    A day that was still running when gold was made changes too, and so does every later one: stock is carried forward. So does
    a day that was made before gold had its latest columns, and those that a store has only from its next sale on. Before
    `known_from` there are no days.
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
    if known_from is not None and first > known_from:
        first = min(first, _first_without_days(session, progress.not_seen(seen, [topics["sales"]])) or first)
    return new["rows"], max(first, known_from or first)


def _first_without_days(session: SparkSession, unseen: str) -> dt.date | None:
    """The first day from which a store that has sold anew may have no days in gold."""
    sales, stock = (session.table(schemas.SILVER_OF_KIND[kind].name) for kind in ("sales", "inventory"))
    of_day = ("store_id", sf.col("local_day").alias("at"))
    held = session.table(schemas.GOLD_DAILY.name).select(*of_day)
    found: dt.date | None = months.since_last(sales.where(unseen), held, sales.select(*of_day).union(stock.select(*of_day)))
    return found
