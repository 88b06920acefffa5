"""Job: master data of products and stores from a folder of Parquet files."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from contracts.clock import Clock, system_clock
from contracts.settings import Settings
from lake import quality, reference, schemas
from lake.database import sole_writer
from lake.quality_gate import Gate
from lake.report import JobReport, Stopwatch
from lake.session import spark_errors

_DOING = "loading the master data"


def run(
    session: SparkSession, settings: Settings, folder: Path, clock: Clock = system_clock, *, dry_run: bool = False
) -> JobReport:
    """`rows_in` and `rows_out` are products and stores, those without master data included; `changed` the keys with a version
    made or closed (with `dry_run`: that would be).

    Raises HeldBack where they break a quality rule: products, or stores, stay as they were, and so does their history.
    """
    rules = quality.rules_of(settings)
    watch = Stopwatch("reference", clock)
    schemas.create_if_missing(session)
    with sole_writer(settings, "lake gold") as lock, spark_errors(_DOING):
        gate = Gate(session, settings, rules, watch.started_at, lock.require)
        loaded = reference.load(gate, folder, clock(), dry_run=dry_run)
        gate.require_passed(_DOING)
    rows = {name: view.rows for name, view in loaded.items()}
    changed = {name: view.changed for name, view in loaded.items()}
    total = sum(rows.values())
    return watch.report(total, total, **rows, changed=changed, warnings=gate.warnings, dry_run=dry_run)
