"""Master data: gold.product and gold.store, from files of the user's or, where there are none, from what the events name.

What the files say is kept in `lake.history` too, version by version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.clock import EpochMs
from contracts.errors import DataGateError, UsageError
from contracts.events import EARLIEST_EVENT_MS
from contracts.features import CATALOGUE_FINGERPRINT, ENTITY_KEYS, PRODUCT, STORE, View, features_of
from contracts.settings import Settings
from contracts.topics import ALL_STORES
from lake import history, local_days, schemas
from lake.cluster import computed_once
from lake.quality_gate import Gate

FILES = {PRODUCT.name: "products.parquet", STORE.name: "stores.parquet"}
_VIEWS = (PRODUCT, STORE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One view after a load: its rows, and the keys whose history the load changed."""

    rows: int
    changed: int


def load(gate: Gate, folder: Path, now: EpochMs, *, dry_run: bool = False) -> dict[str, Loaded]:
    """Replaces the master data with the files of a folder, plus a default row for whatever else was seen, by view; what the files
    change begins a new version at `now`. With `dry_run` nothing is replaced, and the result is what would be.

    `products.parquet` has `product_id` and any of the product's features, `stores.parquet` `store_id` and any of the store's;
    other columns are left. Raises UsageError where neither file is there or a file has no key, DataGateError where a file says
    two things of one key.
    """
    there = {view.name: folder / FILES[view.name] for view in _VIEWS if (folder / FILES[view.name]).is_file()}
    if not there:
        raise UsageError(
            f"{folder} has neither {' nor '.join(FILES.values())}",
            doing="loading the master data",
            hint="docs/lake.md describes the two files.",
        )
    given = {name: gate.session.read.parquet(str(path)) for name, path in there.items()}
    keyed = {view.name: _keyed(given[view.name], view, there[view.name]) for view in _VIEWS if view.name in given}
    return {view.name: _replace(gate, view, keyed.get(view.name), now, dry_run=dry_run) for view in _VIEWS}


def complete(gate: Gate) -> int:
    """Adds a row with the catalogue's defaults for each product and store that silver names and the master data do not, and
    stamps all rows anew where the catalogue or a store's zone has changed. Returns how many rows that touched.
    """
    changed = 0
    for view in _VIEWS:
        current = gate.session.table(view.table)
        wanted = computed_once(master_rows(view, current, _seen(gate.session, view), gate.settings))
        compared = [name for name in wanted.columns if name not in ("created",)]
        difference = wanted.select(compared).exceptAll(current.select(compared)).count()
        if difference:
            gate.publish({view.table: wanted}, sf.lit(True))
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


def _keyed(given: DataFrame, view: View, path: Path) -> DataFrame:
    key = ENTITY_KEYS[view.entities[0]]
    if key not in given.columns:
        raise UsageError(f"{path} has no column {key}", doing="loading the master data")
    keyed = given.withColumn(key, sf.col(key).cast("string")).where(sf.col(key).isNotNull())
    used = [name for name in keyed.columns if name == key or name in {feature.name for feature in features_of(view.name)}]
    rows = keyed.select(*used).distinct()
    twice = [row[key] for row in rows.groupBy(key).count().where("count > 1").orderBy(key).select(key).head(5)]
    if twice:
        raise DataGateError(
            f"{path} says two things of {', '.join(twice)}",
            doing="loading the master data",
            why=f"several rows have the same {key} and differ in a column that is used",
            hint="Leave one row for each key, then load the folder again.",
        )
    return rows


def _replace(gate: Gate, view: View, given: DataFrame | None, now: EpochMs, *, dry_run: bool) -> Loaded:
    """Master data and their history are published together: what is held back has no version."""
    session, key = gate.session, ENTITY_KEYS[view.entities[0]]
    current = session.table(view.table) if given is None else given
    rows = computed_once(master_rows(view, current, _seen(session, view), gate.settings))  # it reads the table it replaces
    made, changed = {view.table: rows}, 0
    if given is not None:
        versions, changed = history.after(session, view, rows.join(given.select(key), on=key, how="leftsemi"), now)
        made |= versions
    if dry_run:
        return Loaded(rows.count(), changed)
    return Loaded(gate.publish(made, sf.lit(True))[view.table], changed)


def _seen(session: SparkSession, view: View) -> DataFrame:
    key = ENTITY_KEYS[view.entities[0]]
    tables = [schemas.SILVER_SALES, schemas.SILVER_INVENTORY, schemas.SILVER_PRICES]
    first, *others = [session.table(table.name).select(key) for table in tables]
    for other in others:
        first = first.union(other)
    return first.where(sf.col(key) != ALL_STORES).distinct()
