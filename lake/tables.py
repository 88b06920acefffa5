"""Writing Iceberg tables and reading back what a commit says of itself."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession

from contracts.errors import DataGateError


def append(rows: DataFrame, table: str, expected: int) -> None:
    """Appends rows in one commit. Raises DataGateError when the commit holds another number of rows than expected."""
    rows.writeTo(table).append()
    written = int(last_commit(rows.sparkSession, table).get("added-records", 0))
    if written != expected:
        raise DataGateError(
            f"{table} took {written} rows where {expected} were counted",
            doing="appending to the lake",
            why="the same input gave different rows twice, or another writer came between",
        )


def last_commit(session: SparkSession, table: str) -> dict[str, str]:
    """The summary of a table's current snapshot; empty for a table that was never written."""
    row = session.table(f"{table}.snapshots").orderBy("committed_at", ascending=False).select("summary").first()
    return dict(row["summary"]) if row else {}
