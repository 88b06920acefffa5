"""An Iceberg table of the lake as data: its columns in Spark's SQL types, its partitions, its properties; and how it is made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pyspark.sql import SparkSession

_KEEP_RECENT = {
    # expiry never goes below this, so that a running query finds its last commits, which make its retries idempotent
    "history.expire.min-snapshots-to-keep": "20",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "50",
}
_MONTHS = re.compile(r"months\((\w+)\)")


@dataclass(frozen=True, slots=True)
class Table:
    """One Iceberg table."""

    name: str
    columns: tuple[tuple[str, str], ...]
    partitions: tuple[str, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def column_names(self) -> list[str]:
        """The columns in table order."""
        return [name for name, _ in self.columns]

    @property
    def month_of(self) -> str | None:
        """The date or timestamp by whose months the table is partitioned; none of a table that is not."""
        found = [part[1] for name in self.partitions if (part := _MONTHS.fullmatch(name))]
        return found[0] if found else None

    def ddl(self) -> str:
        """The statement that creates the table where it is missing."""
        columns = ", ".join(f"`{name}` {kind}" for name, kind in self.columns)
        partitioned = f" PARTITIONED BY ({', '.join(self.partitions)})" if self.partitions else ""
        properties = {"format-version": "2", **_KEEP_RECENT, **self.properties}
        pairs = ", ".join(f"'{key}'='{value}'" for key, value in properties.items())
        return f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}) USING iceberg{partitioned} TBLPROPERTIES ({pairs})"


def columns(text: str) -> tuple[tuple[str, str], ...]:
    """Columns from lines of `name type`."""
    return tuple((name, kind) for name, kind in (line.split(maxsplit=1) for line in text.strip().splitlines()))


def create(session: SparkSession, wanted: Iterable[Table]) -> None:
    """Creates the tables that are not there, and adds the columns that a table has gained since it was made.

    A session remembers what it has made sure of, so that several jobs in one session ask once.
    """
    unsure = [table for table in wanted if session.conf.get(_sure_of(table), "") != table.ddl()]
    for namespace in sorted({table.name.rsplit(".", 1)[0] for table in unsure}):
        session.sql(f"CREATE NAMESPACE IF NOT EXISTS {namespace}")
    for table in unsure:
        session.sql(table.ddl())
        there = set(session.table(table.name).columns)
        added = [(name, kind) for name, kind in table.columns if name not in there]
        if added:
            session.sql(f"ALTER TABLE {table.name} ADD COLUMNS ({', '.join(f'`{n}` {kind}' for n, kind in added)})")
        session.conf.set(_sure_of(table), table.ddl())


def _sure_of(table: Table) -> str:
    return f"rd360.table.{table.name}"
