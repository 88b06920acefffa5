"""Write, audit, publish: new rows go to a branch of their table, which nobody reads, are judged there, and become the table.

A branch costs no copy: where all of its rows may be published, `main` comes to refer to the branch's snapshot. A run that is
killed leaves a branch behind; the next draft of the table begins by removing it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from py4j.protocol import Py4JError  # type: ignore[import-untyped]  # py4j publishes no types
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.tables import CATALOG
from lake import tables

BRANCH = "unpublished"


@dataclass(frozen=True, slots=True)
class Draft:
    """Rows of one table that are written and not published, in place of the rows where `replaced` holds."""

    session: SparkSession
    table: str
    replaced: Column
    began_at: int | None  # main's snapshot at which the branch began; None where there was none

    @property
    def rows(self) -> DataFrame:
        """The rows as they would be published, in the columns of the table."""
        return self.session.table(f"{self.table}.branch_{BRANCH}").where(self.replaced)


@contextmanager
def drafts(session: SparkSession, outputs: Mapping[str, DataFrame], replaced: Column) -> Iterator[dict[str, Draft]]:
    """Writes rows (by table name) to branches of their tables, which are removed when the block ends. One writer at a time."""
    try:
        yield {table: _draft(session, table, rows, replaced) for table, rows in outputs.items()}
    finally:
        for table in outputs:
            discard(session, table)


def publish(draft: Draft, passing: Column | None = None) -> None:
    """Makes the draft's rows those of the table, in one commit: all of them, or where given only those that are `passing`, which
    are copied.

    Where somebody else has written to the table since, the rows are copied too: what they wrote elsewhere in it stays.
    """
    if passing is not None or not _fast_forwarded(draft):
        may = sf.lit(True) if passing is None else passing
        draft.rows.where(may).writeTo(draft.table).overwrite(draft.replaced & may)


def discard(session: SparkSession, table: str) -> None:
    """Removes a table's branch, where there is one; what only it referred to goes with the next `lake maintain`."""
    session.sql(f"ALTER TABLE {table} DROP BRANCH IF EXISTS {BRANCH}")


def _draft(session: SparkSession, table: str, rows: DataFrame, replaced: Column) -> Draft:
    began_at = tables.current_snapshot(session, table)
    discard(session, table)  # CREATE OR REPLACE is refused where main has no snapshot and the branch is there
    session.sql(f"ALTER TABLE {table} CREATE BRANCH {BRANCH}")
    rows.writeTo(f"{table}.branch_{BRANCH}").overwrite(replaced)
    return Draft(session, table, replaced, began_at)


def _fast_forwarded(draft: Draft) -> bool:
    """Whether main refers to the branch's snapshot now; it does not where it has moved since the branch began."""
    name = draft.table.removeprefix(f"{CATALOG}.")
    try:
        draft.session.sql(f"CALL {CATALOG}.system.fast_forward(table => '{name}', branch => 'main', to => '{BRANCH}')").collect()
    except (PySparkException, Py4JError):
        if tables.current_snapshot(draft.session, draft.table) == draft.began_at:
            raise
        return False
    return True
