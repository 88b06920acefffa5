"""Writing Iceberg tables and reading back what a commit says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import DataGateError
from lake import steps


def append(rows: DataFrame, table: str) -> None:
    """Appends rows in one commit, each task to files of its own: rows come nearly in order of time, so sorting them by their
    partitions first would only move them all."""
    steps.begin(rows.sparkSession, table)
    rows.writeTo(table).option("distribution-mode", "none").option("fanout-enabled", "true").append()


def check_commits(session: SparkSession, expected: Mapping[str, int]) -> None:
    """Raises DataGateError where a table's last commit holds another number of rows than expected."""
    last = sf.element_at(sf.max_by("summary", "committed_at"), "added-records").cast("bigint")
    last = sf.coalesce(last, sf.lit(0)).alias("rows")
    parts = [session.table(f"{table}.snapshots").agg(last).select(sf.lit(table).alias("name"), "rows") for table in expected]
    if not parts:
        return
    written = {row["name"]: row["rows"] for row in reduce(DataFrame.union, parts).collect()}
    for table, rows in expected.items():
        if written[table] != rows:
            raise DataGateError(
                f"{table} took {written[table]} rows where {rows} were counted",
                doing="appending to the lake",
                why="the same input gave different rows twice, or another writer came between",
            )


def last_commit(session: SparkSession, table: str) -> dict[str, str]:
    """The summary of a table's current snapshot; empty for a table that was never written."""
    row = session.table(f"{table}.snapshots").orderBy("committed_at", ascending=False).select("summary").first()
    return dict(row["summary"]) if row else {}


def rows(session: SparkSession, table: str) -> int:
    """How many rows a table has, as its current snapshot says."""
    return int(last_commit(session, table).get("total-records", 0))
