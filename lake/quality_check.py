"""Rules against rows, DataFrame to plain findings: one query for all rules, so that a table is read few times, and another one
for the rows of those that do not hold.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from pyspark.errors import AnalysisException, ParseException
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as sf

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from lake import local_days, schemas
from lake.quality import QUERY_NAMES, STOP, Rule

SHOWN = 3  # rows named per rule and month


@dataclass(slots=True)
class Finding:
    """What one rule found: how many faults by month (its first day; None: rows of no day), the first rows of each as JSON.

    `waiting`: it could not be judged, because gold has not seen all of silver.
    """

    rule: Rule
    months: dict[dt.date | None, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    waiting: bool = False

    @property
    def faults(self) -> int:
        """Faults of all months."""
        return sum(self.months.values())

    @property
    def state(self) -> str:
        """`ok`, `waiting`, or the rule's severity."""
        if self.waiting:
            return "waiting"
        return self.rule.severity if self.months else "ok"

    @property
    def stops(self) -> bool:
        """Whether what it found must not be published."""
        return self.state == STOP

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        months = {month_name(month): count for month, count in self.months.items()}
        identity = {"rule": self.rule.name, "table": self.rule.table, "severity": self.rule.severity, "why": self.rule.why}
        return {**identity, "state": self.state, "faults": self.faults, "months": months, "examples": self.examples}

    def __str__(self) -> str:
        months = ", ".join(f"{month_name(month)}: {count}" for month, count in self.months.items())
        return f"{self.rule.name} ({months}), such as {'; '.join(self.examples[:SHOWN])}"


def check(rules: Sequence[Rule], rows: Mapping[str, DataFrame], settings: Settings) -> list[Finding]:
    """One finding per rule. `rows` are, by table name, those of the rules' tables and of others that their queries name.

    Raises ConfigurationError where a rule is no SQL of them.
    """
    zoned = {name: _with_zone(table, settings) for name, table in rows.items()}
    findings = {rule.name: Finding(rule) for rule in rules}
    for row in _counted(_faults(rules, zoned, with_rows=False)):
        findings[row["rule"]].months[row["month"]] = row["faults"]
    broken = [finding.rule for finding in findings.values() if finding.months]
    for row in _first_of_each(_faults(broken, zoned, with_rows=True)):
        findings[row["rule"]].examples.extend(row["examples"])
    return list(findings.values())


def held_back(findings: Iterable[Finding]) -> frozenset[dt.date | None]:
    """The first days of the months that must not be published; None among them: no month must."""
    return frozenset(month for finding in findings if finding.stops for month in finding.months)


def month_name(month: dt.date | None) -> str:
    """A month as 2024-03, or what it is called where rows belong to none."""
    return "all" if month is None else f"{month:%Y-%m}"


def _with_zone(rows: DataFrame, settings: Settings) -> DataFrame:
    if not {"store_id", "local_day"} <= set(rows.columns):
        return rows
    return rows.withColumn("zone", local_days.zone_of(sf.col("store_id"), settings))


def _faults(rules: Sequence[Rule], rows: Mapping[str, DataFrame], *, with_rows: bool) -> DataFrame | None:
    """A row per fault: `rule`, `month`, and with `with_rows` the row as JSON; none where there are no rules.

    Without the rows, only the columns that the rules name are read.
    """
    parts = []
    for name, table in rows.items():
        if of_table := [rule for rule in rules if rule.table == name and rule.holds]:
            broken, columns = _broken(table, of_table), table.columns
            parts.append(_as_fault(broken, name, sf.col("broken_rule"), columns if with_rows else ()))
    for rule in rules:
        if rule.faults:
            found = _faulty(rule, rows)
            parts.append(_as_fault(found, rule.table, sf.lit(rule.name), found.columns if with_rows else ()))
    return reduce(DataFrame.unionAll, parts) if parts else None


def _broken(rows: DataFrame, rules: Sequence[Rule]) -> DataFrame:
    """A row per row and rule that does not hold of it, with the rule's name as `broken_rule`; all rules in one reading."""
    names = []
    for rule in rules:
        holds = sf.coalesce(sf.expr(rule.holds), sf.lit(False))
        _understood(rule, lambda holds=holds: rows.where(holds))
        names.append(sf.when(~holds, sf.lit(rule.name)))
    return rows.withColumn("broken_rule", sf.explode(sf.filter(sf.array(*names), lambda name: name.isNotNull())))


def _faulty(rule: Rule, rows: Mapping[str, DataFrame]) -> DataFrame:
    """A row per row of the rule's query."""
    others: dict[str, Any] = {called: rows[name] for called, name in QUERY_NAMES.items() if name in rows}
    table = rows[rule.table]
    return _understood(rule, lambda: table.sparkSession.sql(rule.faults, rows=table, **others))


def _as_fault(rows: DataFrame, table: str, rule: Column, shown: Sequence[str]) -> DataFrame:
    moment = schemas.BY_NAME[table].month_of
    month = sf.trunc(moment, "MM") if moment in rows.columns else sf.lit(None).cast("date")
    example = sf.to_json(sf.struct(*(sf.col(f"`{name}`") for name in shown))) if shown else sf.lit(None).cast("string")
    return rows.select(rule.alias("rule"), month.alias("month"), example.alias("example"))


def _counted(faults: DataFrame | None) -> list[Row]:
    """One row per rule and month: how many faults."""
    if faults is None:
        return []
    return faults.groupBy("rule", "month").agg(sf.count("*").alias("faults")).orderBy("rule", "month").collect()


def _first_of_each(faults: DataFrame | None) -> list[Row]:
    """One row per rule and month: its first SHOWN rows."""
    if faults is None:
        return []
    numbered = faults.withColumn("number", sf.row_number().over(Window.partitionBy("rule", "month").orderBy("example")))
    shown = sf.array_sort(sf.collect_list("example")).alias("examples")
    return numbered.where(sf.col("number") <= SHOWN).groupBy("rule", "month").agg(shown).orderBy("rule", "month").collect()


def _understood(rule: Rule, made: Any) -> DataFrame:
    try:
        frame: DataFrame = made()
    except (AnalysisException, ParseException, KeyError) as error:
        raise ConfigurationError(
            f"The quality rule {rule.name} cannot be asked of {rule.table}",
            doing="checking the lake's rows",
            why=str(error).splitlines()[0],
            hint="Columns stand in lake/schemas.py; docs/lake.md shows the shape of a rule.",
        ) from error
    return frame
