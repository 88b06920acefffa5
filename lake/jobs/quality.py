"""Job: every quality rule against what is published."""

from __future__ import annotations

from pyspark.sql import SparkSession

from contracts.clock import system_clock
from contracts.errors import UsageError
from contracts.settings import Settings
from lake import quality_log, schemas
from lake.jobs.gold import first_changed_day
from lake.quality import rules_of
from lake.quality_check import Finding, check
from lake.session import spark_errors


def run(session: SparkSession, settings: Settings, table: str | None = None) -> list[Finding]:
    """One finding per rule, of one table or of all. Those that compare gold with silver wait for a gold that has seen all of it.

    Raises UsageError for a table that no rule is about.
    """
    rules = [rule for rule in rules_of(settings) if table in (None, rule.table)]
    if not rules:
        raise UsageError(f"No quality rule is about {table}", doing="checking quality", hint="Such as --table lake.gold.daily.")
    started_at = system_clock()
    schemas.create_if_missing(session)
    with spark_errors("checking quality"):
        rows = {known.name: session.table(known.name) for known in schemas.TABLES}
        was_behind = _is_behind(session, settings)
        findings = check(rules, rows, settings)
        if was_behind or _is_behind(session, settings):
            findings = [Finding(f.rule, waiting=True) if f.rule.compares_with_silver else f for f in findings]
    quality_log.record(settings, quality_log.PUBLISHED, started_at, findings)
    return findings


def _is_behind(session: SparkSession, settings: Settings) -> bool:
    return first_changed_day(session, settings, None)[0] > 0
