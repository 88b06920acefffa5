"""What a job is at: said to Spark, which names its work by it, and kept on the session for whoever shows it."""

from __future__ import annotations

from pyspark.sql import SparkSession

_STEP = "rd360.step"


def begin(session: SparkSession, step: str) -> None:
    """Notes the step that begins, mostly the name of the table that is made."""
    session.sparkContext.setJobDescription(step)
    session.conf.set(_STEP, step)


def current(session: SparkSession) -> str:
    """The step that began last; empty before the first. Any thread may ask."""
    return session.conf.get(_STEP, "") or ""
