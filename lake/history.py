"""Master data that keep their history: gold.product_history and gold.store_history, slowly changing dimensions of type 2.

A version is a row as a file of the user's had it. Versions of a key follow each other without overlap, and the instant `t` has
the one with `valid_from <= t < valid_to`: a join on the key and that condition reads what was known then. The first version of
a key also holds for all time before it was loaded, since nothing else is known of that time.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.clock import EpochMs
from contracts.events import EARLIEST_EVENT_MS, LATEST_EVENT_MS
from contracts.features import View
from lake import schemas
from lake.cluster import computed_once

_AT, _TO, _CURRENT = "valid_from", "valid_to", "is_current"


def after(session: SparkSession, view: View, given: DataFrame, now: EpochMs) -> tuple[dict[str, DataFrame], int]:
    """The history of a view after a load at `now` of `given`, one row per key with the view's features: its rows by table, none
    where they stay as they are, and how many keys are new, changed or gone.
    """
    table = schemas.HISTORY_TABLES[view.name]
    history = session.table(table.name).select(*table.column_names)
    key, *_ = table.column_names
    at_ms = max(now, latest_change_ms(history) + 1)
    versions = computed_once(next_versions(history, given, key, at_ms))  # it reads the table it replaces
    changed = versions.where("touched").select(key).distinct().count()
    return {table.name: versions.select(*table.column_names)} if changed else {}, changed


def next_versions(history: DataFrame, given: DataFrame, key: str, at_ms: EpochMs) -> DataFrame:
    """All versions after a load at `at_ms`, with `touched`: made or closed by it.

    `given` has one row per `key` and the history's columns but the last three. A key that is given as it was keeps its version;
    one that is not, or not the same, has it closed; a key that comes back begins a version where it does, not before.
    """
    attributes = [name for name in history.columns if name not in (key, _AT, _TO, _CURRENT)]
    now = sf.timestamp_millis(sf.lit(at_ms))
    fresh = given.select(key, _as_one(attributes).alias("fresh"))
    was = history.where(_CURRENT).select(key, _as_one(attributes).alias("was"))
    known = history.select(key).distinct().withColumn("known", sf.lit(True))

    differs = ~sf.col("fresh").eqNullSafe(sf.col("was"))
    compared = fresh.join(was, on=key, how="full").where(differs).join(known, on=key, how="left")
    opened = compared.where(sf.col("fresh").isNotNull()).select(
        key,
        "fresh.*",
        sf.when(sf.col("known"), now).otherwise(sf.timestamp_millis(sf.lit(EARLIEST_EVENT_MS))).alias(_AT),
        sf.timestamp_millis(sf.lit(LATEST_EVENT_MS)).alias(_TO),
        sf.lit(True).alias(_CURRENT),
        sf.lit(True).alias("touched"),
    )
    ended = compared.where(sf.col("was").isNotNull()).select(key, sf.lit(True).alias("ended"))
    ends = sf.col(_CURRENT) & sf.col("ended").isNotNull()
    kept = history.join(ended, on=key, how="left").select(
        key,
        *attributes,
        _AT,
        sf.when(ends, now).otherwise(sf.col(_TO)).alias(_TO),
        (sf.col(_CURRENT) & ~ends).alias(_CURRENT),
        ends.alias("touched"),
    )
    return kept.unionByName(opened)


def latest_change_ms(history: DataFrame) -> EpochMs:
    """The instant of the latest load that changed anything but by bringing new keys: the next one comes after it."""
    begun = sf.max(sf.unix_millis(_AT))
    closed = sf.max(sf.when(~sf.col(_CURRENT), sf.unix_millis(_TO)))
    latest = history.agg(sf.greatest(begun, closed)).collect()[0][0]
    return EARLIEST_EVENT_MS if latest is None else int(latest)


def _as_one(names: list[str]) -> Column:
    return sf.struct(*names)
