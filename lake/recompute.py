"""What the lake says that the online rows of a view must hold: for each row, as of its own instant."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.features import (
    AS_OF,
    CATALOGUE_FINGERPRINT,
    CATEGORY_ROLLING,
    ENTITY_KEYS,
    FINGERPRINT,
    PRICE_PLAN,
    SALES_ROLLING,
    SOURCE_OFFSET,
    STOCK,
    STORE_ROLLING,
    VIEWS,
    View,
)
from contracts.settings import Settings
from contracts.topics import INVENTORY, PRICES, SALES, partition_of
from lake import features, schemas, tables
from lake.features import END_OF_TIME_MS
from lake.parity import Key, Row, compared_columns
from lake.stock import SERIES
from lake.stream_position import LateKey

TOPIC_OF = {
    SALES_ROLLING.name: SALES,
    STORE_ROLLING.name: SALES,
    CATEGORY_ROLLING.name: SALES,
    STOCK.name: INVENTORY,
    PRICE_PLAN.name: PRICES,
}
_ROLLING = {
    SALES_ROLLING.name: features.sales_rolling,
    STORE_ROLLING.name: features.store_rolling,
    CATEGORY_ROLLING.name: features.category_rolling,
}
Committed = Mapping[tuple[str, int], int]


def fences(view: str, online: Mapping[Key, Row], committed: Committed, settings: Settings) -> pa.Table:
    """One row per online key: its as-of time, and `fence`, the offset up to which every event of the key must be in its row.

    That is what the worker had committed before the row was read, or more where the row itself says so.
    """
    topic, keys = TOPIC_OF[view], _keys(view)
    rows = []
    for key, row in online.items():
        routed_by = key[keys.index(topic.key_field)]
        behind = committed.get((topic.kind, partition_of(routed_by, settings.topic_partitions)), 0) - 1
        rows.append((*key, row[AS_OF], max(row[SOURCE_OFFSET], behind)))
    names = (*keys, AS_OF, "fence")
    kinds = (*(pa.string() for _ in keys), pa.int64(), pa.int64())
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    return pa.table({name: pa.array(column, kind) for name, kind, column in zip(names, kinds, columns, strict=True)})


def streaming(session: SparkSession, settings: Settings, view: str, asked: pa.Table, late: Collection[LateKey]) -> dict[Key, Row]:
    """The row of each asked key, from all of its events up to its fence that were not too late for it. None of its own where it
    has no such event.

    Windows have a lower bound only: an event in the row is never later than its as-of time, and one that was lost must show.
    """
    frame, keys = session.createDataFrame(asked), _keys(view)
    events = _events(session, settings, view, late)
    seen = events.join(sf.broadcast(frame.select(*keys, "fence")), on=keys, how="inner").where("`offset` <= fence").drop("fence")
    seen = seen.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        known = frame.join(seen.select(*keys).distinct(), on=keys, how="left_semi")
        questions = known.select(*keys, AS_OF, sf.lit(END_OF_TIME_MS).alias("head_ms"))
        rows = _features(session, view, questions, seen, settings).withColumn(FINGERPRINT, sf.lit(CATALOGUE_FINGERPRINT))
        return _by_key(VIEWS[view], rows)
    finally:
        seen.unpersist()


def required_by_stream(
    session: SparkSession,
    settings: Settings,
    views: Collection[str],
    committed: Committed,
    late: Mapping[str, Collection[LateKey]],
) -> dict[str, set[Key]]:
    """The keys of each view with an event that the worker has committed: they must be online. One job for all views."""
    required: dict[str, set[Key]] = {view: set() for view in views}
    firsts = [
        _events(session, settings, view, late[view])
        .groupBy(sf.array(*_keys(view)).alias("key"), "partition")
        .agg(sf.min("offset").alias("first"))
        .withColumn("view", sf.lit(view))
        for view in views
    ]
    if firsts:
        for row in reduce(DataFrame.unionByName, firsts).toArrow().to_pylist():
            if row["first"] < committed.get((TOPIC_OF[row["view"]].kind, row["partition"]), 0):
                required[row["view"]].add(tuple(row["key"]))
    return required


def batch(session: SparkSession, view: View, online: Mapping[Key, Row]) -> tuple[dict[Key, Row], set[Key]]:
    """The offline row of each online key, of the same as-of time, where there is one; and the keys that must be online.

    These are the keys that had an offline row when the view was last materialized; all keys where it never was.
    """
    names = _keys(view.name)
    asked = {name: pa.array([key[at] for key in online], pa.string()) for at, name in enumerate(names)}
    instants = pa.array([row[AS_OF] for row in online.values()], pa.int64())
    frame = session.createDataFrame(pa.table({**asked, "asked_ms": instants}))
    newest = max((row[AS_OF] for row in online.values()), default=END_OF_TIME_MS)
    of_the_asked = sf.when(sf.col(AS_OF) == sf.col("asked_ms"), sf.struct(*compared_columns(view.name)))
    rows = (
        session.table(view.table)
        .where(sf.col(AS_OF) <= newest)
        .join(sf.broadcast(frame), on=names, how="left")
        .groupBy(*names)
        .agg(sf.first(of_the_asked, ignorenulls=True).alias("row"))
        .toArrow()
        .to_pylist()
    )
    by_key: dict[Key, Row | None] = {tuple(row[name] for name in names): row["row"] for row in rows}
    return {key: row for key, row in by_key.items() if row is not None}, set(by_key)


def _features(session: SparkSession, view: str, questions: DataFrame, events: DataFrame, settings: Settings) -> DataFrame:
    if view in _ROLLING:
        buckets = features.buckets(tables.rows(session, schemas.SILVER_SALES.name))
        return _ROLLING[view](questions, events, settings, buckets)
    return features.stock(questions, events, settings) if view == STOCK.name else features.price_plan(questions, events)


def _events(session: SparkSession, settings: Settings, view: str, late: Collection[LateKey]) -> DataFrame:
    """The rows of silver that count for some key of a view, with its keys."""
    topic = TOPIC_OF[view]
    accepted = session.table(schemas.SILVER_OF_KIND[topic.kind].name).where(sf.col("topic") == topic.name(settings.topic_prefix))
    counted = _not_late(accepted, session, late)
    return features.under_categories(counted) if view == CATEGORY_ROLLING.name else counted


def _not_late(events: DataFrame, session: SparkSession, late: Collection[LateKey]) -> DataFrame:
    if not late:
        return events
    names = ("partition", "offset", *SERIES)
    frame = session.createDataFrame(sorted(late), "partition int, offset bigint, store_id string, product_id string")
    return events.join(sf.broadcast(frame), on=list(names), how="left_anti")


def _by_key(view: View, rows: DataFrame) -> dict[Key, Row]:
    names = _keys(view.name)
    wanted: Iterable[dict[str, Any]] = rows.select(*names, *compared_columns(view.name)).toArrow().to_pylist()
    return {tuple(row[name] for name in names): row for row in wanted}


def _keys(view: str) -> list[str]:
    return [ENTITY_KEYS[entity] for entity in VIEWS[view].entities]
