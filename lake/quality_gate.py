"""Publishing under the quality rules: a month, or a table that has none, that breaks a rule keeps its old rows.

The rules are asked of a branch of the table (`lake.publication`). A table that no rule can stop is written as it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.clock import EpochMs
from contracts.errors import DataGateError
from contracts.settings import Settings
from lake import publication, quality_log, schemas, steps, tables
from lake.months import following, midnight
from lake.publication import Draft
from lake.quality import STOP, Rule
from lake.quality_check import Finding, check, held_back, month_name
from lake.table import Table

_NONE: Mapping[str, DataFrame] = {}


class HeldBack(DataGateError):
    """Rows broke the quality rules, so that old ones stay; all others are published."""


@dataclass(slots=True)
class Gate:
    """What one run of a job publishes through. It remembers what it held back, so that the job can end with that.

    `require` raises where the job is not the only writer any more.
    """

    session: SparkSession
    settings: Settings
    rules: Sequence[Rule]
    began_at: EpochMs
    require: Callable[[], None]
    findings: list[Finding] = field(default_factory=list)
    _kept: list[str] = field(default_factory=list)

    def publish(
        self, made: Mapping[str, DataFrame], replaced: Column, sources: Mapping[str, DataFrame] = _NONE
    ) -> dict[str, int]:
        """Puts rows (by table name) in the place of those where `replaced` holds, month by month as the rules allow. Returns how
        many each table took.

        The tables are partitioned alike: a month that is held back is so in each. `sources`, what the rows were made of, are
        judged with them. Where no rule can stop any of it, nothing is asked.
        """
        if not made:
            return {}
        steps.begin(self.session, next(iter(made)))
        asked = [rule for rule in self.rules if rule.table in made or rule.table in sources]
        if not any(rule.severity == STOP for rule in asked):
            self.require()
            for table, rows in made.items():
                rows.writeTo(table).overwrite(replaced)
            return self._taken(made)
        with publication.drafts(self.session, made, replaced) as drafts:
            steps.begin(self.session, "quality rules")
            findings = check(asked, self._rows(asked, drafts, replaced, sources), self.settings)
            quality_log.record(self.settings, quality_log.BEFORE, self.began_at, findings)
            self.findings += findings
            held = held_back(findings)
            self.require()
            for draft in drafts.values() if None not in held else ():
                publication.publish(draft, passing(schemas.BY_NAME[draft.table], held))
        if held:
            self._kept.append(_said(made, held))
        return self._taken(made) if None not in held else dict.fromkeys(made, 0)

    @property
    def stopped(self) -> bool:
        """Whether anything was held back."""
        return bool(self._kept)

    @property
    def warnings(self) -> list[str]:
        """What the rules found that stops nothing."""
        return [str(finding) for finding in self.findings if finding.months and not finding.stops]

    def require_passed(self, doing: str) -> None:
        """Raises HeldBack where anything was held back, with the rules and the first rows that broke them."""
        if self.stopped:
            raise HeldBack(
                f"Old rows stay in {'; '.join(self._kept)}",
                doing=doing,
                why="rows break the quality rules " + "; ".join(str(finding) for finding in self.findings if finding.stops),
                hint="What keeps the rules is published. Put the cause right and run the same command again.",
            )

    def _rows(
        self, asked: Iterable[Rule], drafts: Mapping[str, Draft], replaced: Column, sources: Mapping[str, DataFrame]
    ) -> dict[str, DataFrame]:
        """What the rules are asked of, by table: the drafts, what they were made of, and what queries name besides; of a table
        that is partitioned as they are, the months that are replaced."""
        month_of = schemas.BY_NAME[next(iter(drafts))].month_of
        rows = {table: draft.rows for table, draft in drafts.items()} | dict(sources)
        for name in sorted({name for rule in asked for name in rule.others} - set(rows)):
            table = self.session.table(name)
            rows[name] = table.where(replaced) if schemas.BY_NAME[name].month_of == month_of else table
        return rows

    def _taken(self, made: Iterable[str]) -> dict[str, int]:
        commits = tables.last_commits(self.session, made)
        return {table: int(commits.get(table, {}).get("added-records", 0)) for table in made}


def passing(table: Table, held: Iterable[dt.date | None]) -> Column | None:
    """Whether a row of a table lies in no month that is held back; None where none is.

    Ranges, which Iceberg knows for ranges of partitions.
    """
    months = sorted(month for month in held if month is not None)
    if not months or table.month_of is None:
        return None
    moment = sf.col(table.month_of)
    begins: Callable[[dt.date], dt.date] = midnight if dict(table.columns)[table.month_of] == "timestamp" else dt.date.replace
    parts = [(moment < sf.lit(begins(month))) | (moment >= sf.lit(begins(following(month)))) for month in months]
    return reduce(Column.__and__, parts)


def _said(made: Iterable[str], held: frozenset[dt.date | None]) -> str:
    months = sorted(month for month in held if month is not None)
    return ", ".join(made) + ("" if None in held else f" of {', '.join(map(month_name, months))}")
