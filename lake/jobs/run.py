"""Job: the whole daily line in one session, since starting one takes longer than most steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import marts
from lake.database import JobIsRunning
from lake.jobs import actuals, bronze, features, gold, silver
from lake.quality_gate import HeldBack
from lake.report import JobReport

Job = Callable[[SparkSession, Settings], JobReport]


def run(session: SparkSession, settings: Settings) -> Iterator[JobReport]:
    """The report of each step as it ends, recorded in the log of job runs too.

    Where a continuous bronze job is running, it is left to it, and the rest works on what it has written. Where gold holds
    anything back, forecasts are held against what it has published, and the features wait, since they are made from silver, where
    the rows that break the rules are. The line ends with a HeldBack that names all that was. Any other error ends it at once.
    """
    for step in _steps(session, settings):
        marts.record_job(settings, step)
        yield step


def _steps(session: SparkSession, settings: Settings) -> Iterator[JobReport]:
    with suppress(JobIsRunning):
        yield bronze.run(session, settings, lock_seconds=1)
    yield silver.run(session, settings)
    stopped: list[HeldBack] = []

    def tried(job: Job) -> Iterator[JobReport]:
        try:
            report = job(session, settings)
        except HeldBack as error:
            stopped.append(error)
        else:
            yield report

    yield from tried(gold.run)
    features_wait = bool(stopped)
    yield from tried(actuals.run)  # a month is judged again by itself once gold has published it
    if not features_wait:
        yield from tried(features.run)
    if stopped:
        raise _as_one(stopped) from stopped[0]


def _as_one(errors: list[HeldBack]) -> HeldBack:
    parts = [(error.what, error.doing, error.why, error.hint) for error in errors]
    what, doing, why, hint = ("; ".join(dict.fromkeys(said)) for said in zip(*parts, strict=True))
    return HeldBack(what, doing=doing, why=why, hint=hint)
