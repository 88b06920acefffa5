"""Writing Iceberg tables and reading back what a commit says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from lake import steps
from lake.table import Table


def append(rows: DataFrame, table: str) -> None:
    """Appends rows in one commit, each task to files of its own: rows come nearly in order of time, so sorting them by their
    partitions first would only move them all."""
    steps.begin(rows.sparkSession, table)
    rows.writeTo(table).option("distribution-mode", "none").option("fanout-enabled", "true").append()


def check_commits(session: SparkSession, expected: Mapping[str, int]) -> None:
    """Raises DataGateError where a table's last commit holds another number of rows than expected."""
    commits = last_commits(session, expected)
    for table, rows in expected.items():
        written = int(commits.get(table, {}).get("added-records", 0))
        if written != rows:
            raise DataGateError(
                f"{table} took {written} rows where {rows} were counted",
                doing="appending to the lake",
                why="the same input gave different rows twice, or another writer came between",
            )


def last_commits(session: SparkSession, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """The summary of each table's current snapshot, by table; nothing of a table that was never written.

    The current one is what `main` refers to: a branch's may be younger.
    """
    asked = list(names)
    if not asked:
        return {}
    snapshots = [session.table(f"{name}.snapshots").select(_of(name), "snapshot_id", "summary") for name in asked]
    current = [_main(session, name).select(_of(name), "snapshot_id") for name in asked]
    found = reduce(DataFrame.union, snapshots).join(sf.broadcast(reduce(DataFrame.union, current)), on=["of", "snapshot_id"])
    return {row["of"]: dict(row["summary"]) for row in found.collect()}


def last_commit(session: SparkSession, table: str) -> dict[str, str]:
    """The summary of a table's current snapshot; empty for a table that was never written."""
    return last_commits(session, [table]).get(table, {})


def current_snapshot(session: SparkSession, table: str) -> int | None:
    """The id of a table's current snapshot; none of a table that was never written."""
    row = _main(session, table).first()
    return row["snapshot_id"] if row else None


def as_it_stands(session: SparkSession, table: Table) -> DataFrame:
    """A table's rows as its current snapshot has them, in the columns of today, whatever is committed while they are read.

    Spark looks for the latest snapshot again whenever a table is read: two readings in one job may differ.
    """
    snapshot = current_snapshot(session, table.name)
    if snapshot is None:
        return session.table(table.name).where(sf.lit(False))
    then = session.sql(f"SELECT * FROM {table.name} VERSION AS OF {snapshot}")  # in the columns that the table had then
    gained = {name: sf.lit(None).cast(kind) for name, kind in table.columns if name not in then.columns}
    return then.withColumns(gained).select(*table.column_names)


def location(session: SparkSession, table: str) -> str:
    """The folder of a table in the store."""
    described = session.sql(f"DESCRIBE TABLE EXTENDED {table}").where("col_name = 'Location'")
    return str(described.select("data_type").collect()[0][0])


def rows(session: SparkSession, table: str) -> int:
    """How many rows a table has, as its current snapshot says."""
    return int(last_commit(session, table).get("total-records", 0))


def _main(session: SparkSession, table: str) -> DataFrame:
    return session.table(f"{table}.refs").where("name = 'main'")


def _of(table: str) -> Column:
    return sf.lit(table).alias("of")
