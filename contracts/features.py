"""The feature catalogue: every feature of the platform, defined once, as data.

Faust, Spark, Feast, the JSON schema, the documentation and the golden files are derived from FEATURES. Adding a feature
touches this file and the goldens.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from contracts.aggregates import SALES_VALUES, AggregateName
from contracts.windows import SAME_HOUR_WEEKS, WINDOWS

DType = Literal["int64", "float64", "string", "int64[]", "float64[]"]
Entity = Literal["store", "product", "category"]
Default = int | float | str | None


@dataclass(frozen=True, slots=True)
class View:
    """A group of features with one grain, one writer and one Feast feature view.

    `rows` says what one row is. Streaming views are written by Faust and recomputed by Spark on the snapshot grid; batch views
    are written by Spark and materialized. `table` is the Iceberg table of the offline rows. A view `over` another one sums its
    rows up and has no states of its own.
    """

    name: str
    rows: str
    entities: tuple[Entity, ...]
    writer: Literal["stream", "batch"]
    source: Literal["sales", "inventory", "prices", "gold", "reference"]
    table: str
    over: str | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a view.

    `value` names what is aggregated ("a/b" for a ratio), `aggregate` how, `window` over which rolling window (None: all time, or
    not a window). `default` is what a reader uses where the column is null or the row is missing.
    """

    name: str
    view: str
    dtype: DType
    value: str
    aggregate: AggregateName | Literal["state"]
    window: str | None
    unit: str
    default: Default
    why: str
    owner: str = "demand-platform"


SALES_ROLLING = View(
    "sales_rolling",
    "one row per store × product: its rolling sales as of `as_of_ms`",
    ("store", "product"),
    "stream",
    "sales",
    "lake.gold.sales_rolling",
)
STORE_ROLLING = View(
    "store_rolling",
    "one row per store: the rolling sales of all its products together as of `as_of_ms`",
    ("store",),
    "stream",
    "sales",
    "lake.gold.store_rolling",
    over=SALES_ROLLING.name,
)
CATEGORY_ROLLING = View(
    "category_rolling",
    "one row per store × category: the rolling sales of what was sold under it as of `as_of_ms`",
    ("store", "category"),
    "stream",
    "sales",
    "lake.gold.category_rolling",
    over=SALES_ROLLING.name,
)
STOCK = View(
    "stock",
    "one row per store × product: its stock as of `as_of_ms`",
    ("store", "product"),
    "stream",
    "inventory",
    "lake.gold.stock",
)
PRICE_PLAN = View(
    "price_plan",
    "one row per store × product, or `*` × product for all stores: the announced prices that are not over as of `as_of_ms`",
    ("store", "product"),
    "stream",
    "prices",
    "lake.gold.price_plan",
)
DEMAND_DAILY = View(
    "demand_daily",
    "one row per store × product: the level of its demand over whole local days before the day of `as_of_ms`",
    ("store", "product"),
    "batch",
    "gold",
    "lake.gold.demand_daily",
)
PRODUCT = View("product", "one row per product: its master data", ("product",), "batch", "reference", "lake.gold.product")
STORE = View("store", "one row per store: its master data", ("store",), "batch", "reference", "lake.gold.store")
VIEWS = {
    view.name: view for view in (SALES_ROLLING, STORE_ROLLING, CATEGORY_ROLLING, STOCK, PRICE_PLAN, DEMAND_DAILY, PRODUCT, STORE)
}
STATEFUL = tuple(view for view in VIEWS.values() if view.writer == "stream" and view.over is None)

# Columns that every offline and online row of a view carries beside its features; `event_time` is Feast's timestamp.
ENTITY_KEYS: dict[Entity, str] = {"store": "store_id", "product": "product_id", "category": "category_id"}
AS_OF = "as_of_ms"  # the event time for which the row was computed
SOURCE_OFFSET = "source_offset"  # the Kafka offset of the last event in it, -1 where it was not made from a stream
FINGERPRINT = "fingerprint"
METADATA: dict[str, DType] = {AS_OF: "int64", SOURCE_OFFSET: "int64", FINGERPRINT: "string"}


_NAMES = {"sales_cents": "sales", "refund_cents": "refunds"}  # what a feature is called after, where not its value


def _sum(value: str, window: str, unit: str, why: str) -> Feature:
    return Feature(f"{_NAMES.get(value, value)}_{window}", "sales_rolling", "int64", value, "sum", window, unit, 0, why)


def _ratio(name: str, value: str, window: str, unit: str, default: float | None, why: str) -> Feature:
    return Feature(f"{name}_{window}", "sales_rolling", "float64", value, "ratio", window, unit, default, why)


def _promotion_share(window: str, why: str) -> Feature:
    return _ratio("promotion_share", "promotion_units/units", window, "share of units", 0.0, why)


def _mean_price(window: str, why: str) -> Feature:
    return _ratio("mean_price", "sales_cents/units", window, "cents per unit", None, why)


def _basket(window: str, why: str) -> Feature:
    return _ratio("units_per_receipt", "units/receipts", window, "units per receipt", None, why)


def _of_store(feature: Feature) -> Feature:
    return replace(feature, name=f"store_{feature.name}", view=STORE_ROLLING.name)


def _of_category(feature: Feature) -> Feature:
    return replace(feature, name=f"category_{feature.name}", view=CATEGORY_ROLLING.name)


def _plan(name: str, value: str, unit: str, why: str) -> Feature:
    return Feature(name, "price_plan", "int64[]", value, "state", None, unit, None, why)


def _daily(name: str, dtype: DType, unit: str, why: str, *, value: str = "demand", default: Default = None) -> Feature:
    return Feature(name, "demand_daily", dtype, value, "state", None, unit, default, why)


def _master(view: View, name: str, dtype: DType, unit: str, why: str, *, default: Default = None) -> Feature:
    return Feature(name, view.name, dtype, name, "state", None, unit, default, why)


FEATURES: tuple[Feature, ...] = (
    _sum("units", "1h", "units", "what sells right now: moves the forecast of today within seconds"),
    _sum("units", "24h", "units", "the last day, whatever the hour of asking"),
    _sum("units", "today", "units", "sold since the store-local midnight: the part of today that is known"),
    _sum("units", "7d", "units", "the level over a full week, free of the weekday"),
    _sum("units", "28d", "units", "the level over four weeks"),
    _sum("receipts", "1h", "receipts", "how many baskets, so that one bulk buyer is told from many customers"),
    _sum("receipts", "24h", "receipts", "baskets of the last day"),
    _sum("receipts", "today", "receipts", "baskets since the store-local midnight"),
    _sum("receipts", "7d", "receipts", "baskets of the last week"),
    _sum("receipts", "28d", "receipts", "baskets of four weeks"),
    _sum("sales_cents", "1h", "cents", "gross sales right now"),
    _sum("sales_cents", "24h", "cents", "gross sales of the last day"),
    _sum("sales_cents", "today", "cents", "gross sales since the store-local midnight"),
    _sum("sales_cents", "7d", "cents", "gross sales of the last week"),
    _sum("sales_cents", "28d", "cents", "gross sales of four weeks"),
    _sum("refund_cents", "28d", "cents", "money given back over four weeks"),
    _sum("returned_units", "1h", "units", "a wave of returns, such as a recall, while it runs"),
    _sum("returned_units", "24h", "units", "returns of the last day"),
    _sum("returned_units", "7d", "units", "returns of the last week"),
    _sum("returned_units", "28d", "units", "returns inflate past demand where they are not told apart"),
    _promotion_share("1h", "whether what sells right now sells on promotion"),
    _promotion_share("24h", "whether the last day's level was one of promotion"),
    _promotion_share("7d", "a week on promotion is followed by a dip"),
    _promotion_share("28d", "a level reached on promotion does not last"),
    _mean_price("1h", "what customers pay right now"),
    _mean_price("24h", "what customers paid in the last day: a new price shows here first"),
    _mean_price("7d", "what customers paid in the last week"),
    _mean_price("28d", "what customers were used to paying: the reference for a planned price"),
    _basket("1h", "how much one customer takes right now: stocking up shows before it is over"),
    _basket("24h", "basket size of the last day"),
    _basket("7d", "basket size of the last week"),
    _basket("28d", "the usual basket size"),
    Feature(
        "units_same_hour_4w",
        "sales_rolling",
        "int64",
        "units",
        "same_hour",
        None,
        "units",
        0,
        "sold in this hour of this weekday over the last four weeks: what an hour usually brings",
    ),
    Feature("last_price", "sales_rolling", "int64", "unit_price", "last", None, "cents", None, "the price of the latest sale"),
    Feature(
        "last_sale_ms",
        "sales_rolling",
        "int64",
        "event_time",
        "last",
        None,
        "ms since the epoch, UTC",
        None,
        "how long a product has been silent tells the slow from the dead",
    ),
    _of_store(_sum("units", "1h", "units", "how busy the store is right now: a product's hour is told from the store's")),
    _of_store(_sum("units", "24h", "units", "the store's last day, whatever the hour of asking")),
    _of_store(_sum("units", "today", "units", "the part of the store's today that is known: weather and footfall show here")),
    _of_store(_sum("units", "7d", "units", "the store's level over a full week: what a product's share is taken of")),
    _of_store(_sum("units", "28d", "units", "the store's level over four weeks")),
    _of_store(_sum("sales_cents", "1h", "cents", "the store's gross sales right now")),
    _of_store(_sum("sales_cents", "24h", "cents", "the store's gross sales of the last day")),
    _of_store(_sum("sales_cents", "today", "cents", "the store's gross sales since its local midnight")),
    _of_store(_sum("sales_cents", "7d", "cents", "the store's gross sales of the last week")),
    _of_store(_sum("sales_cents", "28d", "cents", "the store's gross sales of four weeks")),
    _of_store(_sum("refund_cents", "28d", "cents", "money that the store gave back over four weeks")),
    _of_store(_sum("returned_units", "28d", "units", "how much comes back to this store: a product's returns against it")),
    _of_store(_promotion_share("24h", "whether the store's last day was one of promotions")),
    _of_store(_promotion_share("7d", "how far promotions carry the store's week: they draw from other products")),
    _of_store(_promotion_share("28d", "how much of the store's level rests on promotions")),
    _of_category(_sum("units", "1h", "units", "whether it is the product that sells right now or all of its kind")),
    _of_category(_sum("units", "24h", "units", "the category's last day, whatever the hour of asking")),
    _of_category(_sum("units", "today", "units", "the part of the category's today that is known")),
    _of_category(_sum("units", "7d", "units", "the category's level over a full week: what a new product borrows from")),
    _of_category(_sum("units", "28d", "units", "the category's level over four weeks: what a product's share is taken of")),
    _of_category(_sum("sales_cents", "24h", "cents", "gross sales of the category in the last day")),
    _of_category(_sum("sales_cents", "7d", "cents", "gross sales of the category in the last week")),
    _of_category(_sum("sales_cents", "28d", "cents", "gross sales of the category in four weeks")),
    _of_category(_promotion_share("7d", "a promotion of one product takes from the others of its category")),
    _of_category(_promotion_share("28d", "how much of the category's level rests on promotions")),
    Feature(
        "on_hand",
        "stock",
        "int64",
        "quantity",
        "state",
        None,
        "units",
        None,
        "the latest count and the movements since: what can be sold, and what an order has to add to",
    ),
    Feature("counted_ms", "stock", "int64", "event_time", "state", None, "ms since the epoch, UTC", None, "the age of the count"),
    Feature(
        "hours_out_of_stock_28d",
        "stock",
        "float64",
        "quantity",
        "state",
        "28d",
        "hours",
        None,
        "hours with nothing on hand: sales of such hours are no measure of demand",
    ),
    _plan("plan_from", "valid_from", "local days since 1970-01-01", "first day of each plan"),
    _plan("plan_to", "valid_to", "local days since 1970-01-01", "last day of each plan"),
    _plan("plan_price", "price", "cents", "the price that each plan sets"),
    _plan("plan_list_price", "list_price", "cents", "the undiscounted price"),
    _plan("plan_promoted", "promotion_id", "0 or 1", "whether it is a promotion"),
    _daily("demand_lag_1d", "float64", "units", "demand of the day before"),
    _daily("demand_lag_7d", "float64", "units", "demand one week before the as-of day"),
    _daily("demand_lag_14d", "float64", "units", "demand two weeks before"),
    _daily("demand_mean_7d", "float64", "units a day", "level of the last week"),
    _daily("demand_mean_28d", "float64", "units a day", "level of four weeks"),
    _daily("demand_mean_364d", "float64", "units a day", "level of a year of whole weeks"),
    _daily(
        "weekday_mean_4w",
        "float64[]",
        "units a day",
        "mean demand of each weekday, Monday first, over the last four weeks: the target day picks its own",
    ),
    _daily("selling_share_28d", "float64", "share of days", "tells intermittent from steady"),
    _daily("in_stock_share_28d", "float64", "share of days", "how far past sales can be believed", value="in_stock"),
    _daily("days_on_sale", "int64", "days", "age of the series, at most 364", default=0),
    _master(PRODUCT, "category", "string", "name", "new products borrow from their category", default=""),
    _master(PRODUCT, "pack_size", "int64", "units a pack", "orders come in whole packs", default=1),
    _master(PRODUCT, "shelf_life_days", "int64", "days", "an order must sell before it spoils"),
    _master(STORE, "region", "string", "name", "stores of a region share seasons", default=""),
    _master(STORE, "time_zone", "string", "IANA name", "which hours are a day", default=""),
    _master(STORE, "lead_time_days", "int64", "days", "from order to shelf", default=2),
    _master(STORE, "review_period_days", "int64", "days", "days between orders", default=1),
)


def features_of(view: str) -> tuple[Feature, ...]:
    """The features of a view, in catalogue order."""
    return tuple(feature for feature in FEATURES if feature.view == view)


def fingerprint() -> str:
    """16 hexadecimal digits that change whenever a feature's definition, a window or a tile's layout changes."""
    spec = {
        "features": [{k: v for k, v in asdict(feature).items() if k not in ("why", "owner", "unit")} for feature in FEATURES],
        "windows": {name: [window.hop.name, window.hops] for name, window in WINDOWS.items()},
        "weeks_of_same_hour": SAME_HOUR_WEEKS,
        "values": SALES_VALUES,
    }
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]


CATALOGUE_FINGERPRINT = fingerprint()


def check_catalogue() -> list[str]:
    """What is wrong with the catalogue; empty when it is sound."""
    wrong = []
    names = [feature.name for feature in FEATURES]
    wrong += [f"{name} is defined twice" for name in sorted({n for n in names if names.count(n) > 1})]
    for feature in FEATURES:
        if feature.view not in VIEWS:
            wrong.append(f"{feature.name}: no view {feature.view}")
        if feature.window is not None and feature.window not in WINDOWS:
            wrong.append(f"{feature.name}: no window {feature.window}")
        if feature.aggregate in ("sum", "ratio", "same_hour") and not set(feature.value.split("/")) <= set(SALES_VALUES):
            wrong.append(f"{feature.name}: no value {feature.value}")
        if not (feature.why and feature.unit):
            wrong.append(f"{feature.name}: a feature says its unit and why it exists")
    return wrong
