"""Job: bronze against Kafka and silver against bronze."""

from __future__ import annotations

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake.audit import Audit, audit
from lake.database import sole_writer
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings) -> Audit:
    """The audit; the caller decides what its faults mean. Silver's lock is held, so that no half-written pass is judged."""
    with sole_writer(settings, "lake silver"), spark_errors("auditing the lake"):
        return audit(session, settings)
