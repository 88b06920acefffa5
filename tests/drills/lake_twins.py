"""Two lakes from the same topics, one of them made in one undisturbed go: in how many rows they differ, table by table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import MapType, StructField

from contracts.settings import Settings
from contracts.tables import POSTGRES_DATABASE
from lake import marts as lake_marts
from lake import schemas, tables
from lake.audit import Audit
from lake.jobs import bronze, marts, silver
from lake.jobs import run as line
from tests.outcome import Bar
from tests.own_lake import own_lake

OF_THE_MAKING = ("ingest_time", "created", "met_at", "snapshot_id")  # when rows were made, and of which commits
MARTS = tuple(made.mart.name for made in lake_marts.MARTS)
SHOWN = 3
# Nothing that a drill sends fills them: no message is lost, no file of master data or holidays is loaded, no model scores
UNFILLED = (schemas.BRONZE_LOSSES, schemas.OWN_HOLIDAYS, schemas.GOLD_FORECASTS, *schemas.HISTORY_TABLES.values())
TO_SILVER = (schemas.BRONZE_EVENTS, *schemas.SILVER, *schemas.PROGRESS[:1])
AGREE: Sequence[Bar] = (
    *(Bar(name, at_most=0) for name in ("audit_faults", "unread", "differences", "empty_tables")),
    *(Bar(name, at_least=1) for name in ("quarantined", "duplicate_lines", "rows")),
)


@dataclass(frozen=True, slots=True)
class Twins:
    """Rows that one of two lakes has and the other has not, by table; rows of the undisturbed one; the first examples."""

    different: Mapping[str, int]
    rows: Mapping[str, int]
    examples: list[str]


def make(session: SparkSession, settings: Settings, *, whole: bool) -> None:
    """One run of the jobs whose tables are compared: the line and the marts, or no further than silver."""
    if whole:
        list(line.run(session, settings))
        marts.run(session, settings)
    else:
        bronze.run(session, settings)
        silver.run(session, settings)


def compared(session: SparkSession, settings: Settings, folder: Path, *, whole: bool) -> Twins:
    """The lake of `session` against one made here of the same topics, in a catalog and a warehouse of its own.

    `whole`: all tables and marts; else those up to silver, which is what a quick drill has time for.
    """
    of = schemas.TABLES if whole else TO_SILVER
    for table in of:
        comparable(session.table(table.name)).write.parquet(_copy(folder, table.name))
    if whole:
        _keep_the_marts(settings)
    different, rows, examples = {}, {}, []
    with own_lake(settings, "undisturbed") as twin:
        make(twin, settings.model_copy(update={"home": folder / "undisturbed"}), whole=whole)  # a checkpoint of its own
        for table in of:
            undisturbed = comparable(twin.table(table.name))
            found = differing(twin.read.parquet(_copy(folder, table.name)), undisturbed)
            different[table.name] = sum(abs(row["excess"]) for row in found)
            rows[table.name] = tables.rows(twin, table.name)
            examples += [f"{table.name}: {row.asDict()}" for row in found[:SHOWN]]
    for mart in MARTS if whole else ():
        unlike, rows[mart] = _mart(settings, mart)
        different[mart] = len(unlike)
        examples += [f"{mart}: {row}" for row in unlike[:SHOWN]]
    return Twins(different, rows, examples)


def figures(audited: Audit, twins: Twins) -> dict[str, Any]:
    """What the audit and the comparison say: `AGREE` are their bars."""
    return {
        "audit_faults": len(audited.faults),
        "unread": sum(partition.waiting for partition in audited.partitions),
        "quarantined": audited.silver.totals["quarantined"],
        "duplicate_lines": audited.silver.totals["duplicate_lines"],
        "tables": len(twins.rows),
        "rows": sum(twins.rows.values()),
        "empty_tables": len(_empty(twins)),
        "differences": sum(twins.different.values()),
    }


def notes(audited: Audit, twins: Twins) -> list[str]:
    """The audit's faults, the first differing rows, and the tables of which nothing could be compared."""
    return [*audited.faults, *twins.examples, *(f"Empty: {name}" for name in _empty(twins))]


def _empty(twins: Twins) -> list[str]:
    """The tables and marts that should have rows and have none."""
    unfilled = {table.name for table in UNFILLED}
    return [name for name, count in twins.rows.items() if not count and name not in unfilled]


def comparable(rows: DataFrame) -> DataFrame:
    """The rows without what is of their making; maps as sorted lists, since Spark does not compare maps."""
    return rows.select(*(_comparable(field) for field in rows.schema if field.name not in OF_THE_MAKING))


def differing(one: DataFrame, other: DataFrame) -> list[Row]:
    """One row per row that the two have in different number, `excess`: how many more of it the first has."""
    names = one.columns
    signed = one.withColumn("excess", sf.lit(1)).unionByName(other.withColumn("excess", sf.lit(-1)))
    return signed.groupBy(*names).agg(sf.sum("excess").alias("excess")).where("excess <> 0").collect()


def _comparable(field: StructField) -> Column:
    column = sf.col(field.name)
    return (sf.array_sort(sf.map_entries(column)) if isinstance(field.dataType, MapType) else column).alias(field.name)


def _copy(folder: Path, table: str) -> str:
    return f"file:{folder / 'copies' / table}"


def _kept(mart: str) -> str:
    return f"public.disturbed_{mart.split('.')[1]}"


def _keep_the_marts(settings: Settings) -> None:
    with psycopg.connect(settings.postgres_url(POSTGRES_DATABASE)) as connection:
        for mart in MARTS:
            connection.execute(f"CREATE TABLE {_kept(mart)} AS TABLE {mart}")


def _mart(settings: Settings, mart: str) -> tuple[list[str], int]:
    """The rows that a mart as it was kept has more often than it has now, or less often, and how many rows it has now."""
    kept, now = f"SELECT * FROM {_kept(mart)}", f"SELECT * FROM {mart}"
    with psycopg.connect(settings.postgres_url(POSTGRES_DATABASE)) as connection:
        gone, new = (connection.execute(f"{one} EXCEPT ALL {other}").fetchall() for one, other in ((kept, now), (now, kept)))
        count = connection.execute(f"SELECT count(*) FROM {mart}").fetchone()
    assert count is not None
    return sorted([f"{row} disturbed" for row in gone] + [f"{row} undisturbed" for row in new]), count[0]
