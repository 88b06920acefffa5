"""Job: the whole daily line in one session, since starting one takes longer than most steps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pyspark.sql import SparkSession

from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import marts
from lake.database import JobIsRunning
from lake.jobs import actuals, bronze, features, gold, silver
from lake.report import JobReport


def run(session: SparkSession, settings: Settings) -> Iterator[JobReport]:
    """The report of each step as it ends, recorded in the log of job runs too.

    Where a continuous bronze job is running, it is left to it, and the rest works on what it has written. The line ends where
    gold is held back. Nothing is made of the last two: what one of them holds back is said once both have run.
    """
    for step in _steps(session, settings):
        marts.record_job(settings, step)
        yield step


def _steps(session: SparkSession, settings: Settings) -> Iterator[JobReport]:
    with suppress(JobIsRunning):
        yield bronze.run(session, settings, lock_seconds=1)
    yield silver.run(session, settings)
    yield gold.run(session, settings)
    stopped: list[DataGateError] = []
    for job in (actuals.run, features.run):
        try:
            report = job(session, settings)
        except DataGateError as error:
            stopped.append(error)
        else:
            yield report
    if stopped:
        raise _as_one(stopped) from stopped[0]


def _as_one(errors: list[DataGateError]) -> DataGateError:
    parts = [(error.what, error.doing, error.why, error.hint) for error in errors]
    what, doing, why, hint = ("; ".join(dict.fromkeys(said)) for said in zip(*parts, strict=True))
    return DataGateError(what, doing=doing, why=why, hint=hint)
