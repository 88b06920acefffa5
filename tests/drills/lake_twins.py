"""Two lakes from the same topics, one of them made in one undisturbed go: in how many rows they differ, table by table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg
from pyspark.sql import Column, DataFrame, Row, SparkSession
from pyspark.sql import functions as sf
from pyspark.sql.types import MapType, StructField

from contracts.settings import Settings
from contracts.tables import MART_DAILY, POSTGRES_DATABASE
from lake import schemas, tables
from lake.jobs import marts
from lake.jobs import run as line
from lake.table import Table
from tests.own_lake import own_lake

OF_THE_MAKING = ("ingest_time", "created", "met_at", "files")  # when rows were made, and of which files
KEPT_MART = "public.disturbed_mart"
SHOWN = 3
Make = Callable[[SparkSession, Settings], None]


@dataclass(frozen=True, slots=True)
class Twins:
    """Rows that one of two lakes has and the other has not, by table; rows of the undisturbed one; the first examples."""

    different: Mapping[str, int]
    rows: Mapping[str, int]
    examples: list[str]


def compared(session: SparkSession, settings: Settings, folder: Path) -> Twins:
    """The lake of `session` and its mart against those made here of the same topics."""
    with psycopg.connect(settings.postgres_url(POSTGRES_DATABASE)) as connection:
        connection.execute(f"CREATE TABLE {KEPT_MART} AS TABLE {MART_DAILY}")
    twins = of_tables(session, settings, folder, schemas.TABLES, _whole_line)
    different, rows = _marts(settings)
    return Twins({**twins.different, MART_DAILY: different}, {**twins.rows, MART_DAILY: rows}, twins.examples)


def of_tables(session: SparkSession, settings: Settings, folder: Path, of: Sequence[Table], make: Make) -> Twins:
    """These tables of the lake of `session` against those that `make` fills, in a catalog and a warehouse of their own."""
    for table in of:
        comparable(session.table(table.name)).write.parquet(_copy(folder, table.name))
    different, rows, examples = {}, {}, []
    with own_lake(settings, "undisturbed") as twin:
        make(twin, settings.model_copy(update={"home": folder / "undisturbed"}))  # a checkpoint of its own
        for table in of:
            undisturbed = comparable(twin.table(table.name))
            found = differing(twin.read.parquet(_copy(folder, table.name)), undisturbed)
            different[table.name] = sum(abs(row["excess"]) for row in found)
            rows[table.name] = tables.rows(twin, table.name)
            examples += [f"{table.name}: {row.asDict()}" for row in found[:SHOWN]]
    return Twins(different, rows, examples)


def _whole_line(session: SparkSession, settings: Settings) -> None:
    list(line.run(session, settings))
    marts.run(session, settings)


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


def _marts(settings: Settings) -> tuple[int, int]:
    """Differing rows of the mart kept and the one that is there now, and rows of the latter."""
    columns = "SELECT * FROM"
    kept, now = f"{columns} {KEPT_MART}", f"{columns} {MART_DAILY}"
    with psycopg.connect(settings.postgres_url(POSTGRES_DATABASE)) as connection:
        row = connection.execute(
            f"SELECT (SELECT count(*) FROM (({kept} EXCEPT ALL {now}) UNION ALL ({now} EXCEPT ALL {kept})) AS either),"
            f" (SELECT count(*) FROM {MART_DAILY})"
        ).fetchone()
    assert row is not None
    return row[0], row[1]
