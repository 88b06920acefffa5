"""Feast's entities and feature views, generated from the catalogue: never edit a feature here.

The module-level objects are what `feast apply` and the Feast UI find in this folder.
"""

from __future__ import annotations

import datetime as dt
import warnings

from feast import Entity, FeatureView, Field
from feast.infra.offline_stores.contrib.spark_offline_store.spark_source import SparkSource
from feast.types import Array, FeastType, Float64, Int64, String
from feast.value_type import ValueType

from contracts.features import (
    CATALOGUE_FINGERPRINT,
    CATEGORY_ROLLING,
    DEMAND_DAILY,
    ENTITY_KEYS,
    METADATA,
    PRICE_PLAN,
    PRODUCT,
    SALES_ROLLING,
    STOCK,
    STORE,
    STORE_ROLLING,
    DType,
    Feature,
    View,
    features_of,
)

EVENT_TIME = "event_time"
CREATED = "created"
OWNER = "demand-platform"
FEAST_TYPES: dict[DType, FeastType] = {
    "int64": Int64,
    "float64": Float64,
    "string": String,
    "int64[]": Array(Int64),
    "float64[]": Array(Float64),
}
_METADATA_WHY = {
    "as_of_ms": "the event time for which the row was computed, ms since the epoch, UTC",
    "source_offset": "the Kafka offset of the last event in the row, -1 where it was not made from a stream",
    "fingerprint": "the catalogue that the writer had",
}
# A point-in-time join looks back this far. The snapshot grid has a row at least once a day, so an older one means a hole in the
# lake, and a hole must not be papered over. Master data holds until it changes (0).
_LOOK_BACK = dt.timedelta(days=2)


def entity(name: str, key: str, description: str) -> Entity:
    """An entity of string ids."""
    return Entity(name=name, join_keys=[key], value_type=ValueType.STRING, description=description, owner=OWNER)


def field(feature: Feature) -> Field:
    """A feature as Feast's field, with its unit, owner and default in the tags."""
    tags = {"unit": feature.unit, "owner": feature.owner, "default": str(feature.default)}
    if feature.window is not None:
        tags["window"] = feature.window
    return Field(name=feature.name, dtype=FEAST_TYPES[feature.dtype], description=feature.why, tags=tags)


def source(view: View) -> SparkSource:
    """The Iceberg table of a view's offline rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "experimental", on every construction
        return SparkSource(
            name=view.table,
            table=view.table,
            timestamp_field=EVENT_TIME,
            created_timestamp_column=CREATED,
            description=view.rows,
            owner=OWNER,
        )


def feature_view(view: View) -> FeatureView:
    """A view of the catalogue as Feast's feature view: its keys, METADATA and features, in this order."""
    keys = [Field(name=ENTITY_KEYS[name], dtype=String) for name in view.entities]
    metadata = [Field(name=name, dtype=FEAST_TYPES[dtype], description=_METADATA_WHY[name]) for name, dtype in METADATA.items()]
    return FeatureView(
        name=view.name,
        entities=[_ENTITIES[name] for name in view.entities],
        ttl=dt.timedelta(0) if view.source == "reference" else _LOOK_BACK,
        schema=[*keys, *metadata, *(field(feature) for feature in features_of(view.name))],
        source=source(view),
        description=view.rows,
        tags={"fingerprint": CATALOGUE_FINGERPRINT, "writer": view.writer, "source": view.source},
        owner=OWNER,
    )


store_entity = entity("store", ENTITY_KEYS["store"], "a store of the chain; `*` in price plans stands for all of them")
product_entity = entity("product", ENTITY_KEYS["product"], "a product as it is sold")
category_entity = entity("category", ENTITY_KEYS["category"], "what a till sells products under")
_ENTITIES = {"store": store_entity, "product": product_entity, "category": category_entity}

sales_rolling = feature_view(SALES_ROLLING)
store_rolling = feature_view(STORE_ROLLING)
category_rolling = feature_view(CATEGORY_ROLLING)
stock = feature_view(STOCK)
price_plan = feature_view(PRICE_PLAN)
demand_daily = feature_view(DEMAND_DAILY)
product = feature_view(PRODUCT)
store = feature_view(STORE)

ENTITIES = (store_entity, product_entity, category_entity)
FEATURE_VIEWS = {
    view.name: view for view in (sales_rolling, store_rolling, category_rolling, stock, price_plan, demand_daily, product, store)
}
