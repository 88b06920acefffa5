"""Master data: gold.product and gold.store, from files of the user's or, where there are none, from what the events name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.errors import UsageError
from contracts.events import EARLIEST_EVENT_MS
from contracts.features import CATALOGUE_FINGERPRINT, ENTITY_KEYS, PRODUCT, STORE, View, features_of
from contracts.settings import Settings
from contracts.topics import ALL_STORES
from lake import local_days, schemas

FILES = {PRODUCT.name: "products.parquet", STORE.name: "stores.parquet"}
_VIEWS = (PRODUCT, STORE)


def load(session: SparkSession, settings: Settings, folder: Path) -> dict[str, int]:
    """Replaces the master data with the files of a folder, plus a default row for whatever else was seen. Rows by view.

    `products.parquet` has `product_id` and any of the product's features, `stores.parquet` `store_id` and any of the store's;
    other columns are left. Raises UsageError where neither file is there or a file has no key.
    """
    there = {view.name: folder / FILES[view.name] for view in _VIEWS if (folder / FILES[view.name]).is_file()}
    if not there:
        raise UsageError(
            f"{folder} has neither {' nor '.join(FILES.values())}",
            doing="loading the master data",
            hint="docs/lake.md describes the two files.",
        )
    given = {name: session.read.parquet(str(path)) for name, path in there.items()}
    return {view.name: _replace(session, settings, view, given.get(view.name), folder) for view in _VIEWS}


def complete(session: SparkSession, settings: Settings) -> int:
    """Adds a row with the catalogue's defaults for each product and store that silver names and the master data do not, and
    stamps all rows anew where the catalogue or a store's zone has changed. Returns how many rows that touched.
    """
    changed = 0
    for view in _VIEWS:
        current = session.table(view.table)
        wanted = master_rows(view, current, _seen(session, view), settings).localCheckpoint()
        compared = [name for name in wanted.columns if name not in ("created",)]
        difference = wanted.select(compared).exceptAll(current.select(compared)).count()
        if difference:
            wanted.writeTo(view.table).overwrite(sf.lit(True))
        changed += difference
    return changed


def master_rows(view: View, given: DataFrame | None, seen: DataFrame, settings: Settings) -> DataFrame:
    """One row per key of `given` or `seen`, in the columns of the view's table: given values, else the catalogue's defaults.

    The rows hold at every as-of time, so their own lies before all events.
    """
    key = ENTITY_KEYS[view.entities[0]]
    features = features_of(view.name)
    known = given.columns if given is not None else []
    rows = seen if given is None else seen.join(given, on=key, how="full")
    stamp = {
        "event_time": sf.timestamp_millis(sf.lit(EARLIEST_EVENT_MS)),
        "created": sf.current_timestamp(),
        "as_of_ms": sf.lit(EARLIEST_EVENT_MS),
        "source_offset": sf.lit(-1).cast("bigint"),
        "fingerprint": sf.lit(CATALOGUE_FINGERPRINT),
    }
    values: dict[str, Column] = {}
    for feature in features:
        kind = schemas.SPARK_TYPES[feature.dtype]
        value = sf.col(feature.name).cast(kind) if feature.name in known else sf.lit(None).cast(kind)
        values[feature.name] = sf.coalesce(value, sf.lit(feature.default).cast(kind))
    if view is STORE:
        values["time_zone"] = local_days.zone_of(sf.col(key), settings)
    columns: Mapping[str, Column] = {key: sf.col(key), **stamp, **values}
    wanted = schemas.FEATURE_TABLES[view.name].column_names
    return rows.where(sf.col(key).isNotNull()).dropDuplicates([key]).select(*(columns[name].alias(name) for name in wanted))


def _replace(session: SparkSession, settings: Settings, view: View, given: DataFrame | None, folder: Path) -> int:
    key = ENTITY_KEYS[view.entities[0]]
    if given is not None and key not in given.columns:
        raise UsageError(f"{folder / FILES[view.name]} has no column {key}", doing="loading the master data")
    current = session.table(view.table) if given is None else given.withColumn(key, sf.col(key).cast("string"))
    rows = master_rows(view, current, _seen(session, view), settings).localCheckpoint()  # it reads the table it replaces
    rows.writeTo(view.table).overwrite(sf.lit(True))
    return rows.count()


def _seen(session: SparkSession, view: View) -> DataFrame:
    key = ENTITY_KEYS[view.entities[0]]
    tables = [schemas.SILVER_SALES, schemas.SILVER_INVENTORY, schemas.SILVER_PRICES]
    first, *others = [session.table(table.name).select(key) for table in tables]
    for other in others:
        first = first.union(other)
    return first.where(sf.col(key) != ALL_STORES).distinct()
