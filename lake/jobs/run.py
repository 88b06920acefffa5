"""Job: the whole daily line in one session, since starting one takes longer than most steps."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress

from pyspark.sql import SparkSession

from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import marts
from lake.database import JobIsRunning
from lake.jobs import actuals, bronze, gold, silver
from lake.report import JobReport

FEATURES = "lake.jobs.features"


def run(session: SparkSession, settings: Settings) -> Iterator[JobReport]:
    """The report of each step as it ends, recorded in the log of job runs too.

    Where a continuous bronze job is running, it is left to it, and the rest works on what it has written. Where gold holds months
    back, forecasts are held against what it has published, and then its DataGateError, which names the months, ends the line: the
    features wait, since they are made from silver, where the rows that break the rules are.
    """
    for step in _steps(session, settings):
        marts.record_job(settings, step)
        yield step


def _steps(session: SparkSession, settings: Settings) -> Iterator[JobReport]:
    with suppress(JobIsRunning):
        yield bronze.run(session, settings, lock_seconds=1)
    yield silver.run(session, settings)
    try:
        made = gold.run(session, settings)
    except DataGateError:
        yield actuals.run(session, settings)  # a month is judged again by itself once gold has published it
        raise
    yield made
    yield actuals.run(session, settings)
    if importlib.util.find_spec(FEATURES):
        report: JobReport = importlib.import_module(FEATURES).run(session, settings)
        yield report
