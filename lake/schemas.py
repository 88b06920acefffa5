"""Every Iceberg table of the lake as data: its columns in Spark's SQL types, its partitions, its properties.

Times are instants (UTC), money is integer cents, quantities are integers in the product's base unit. Names and grains stand in
`contracts.tables`; feature tables are derived from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import SparkSession

from contracts import tables
from contracts.features import ENTITY_KEYS, METADATA, PRODUCT, STORE, VIEWS, DType, View, features_of
from lake.table import Table, create
from lake.table import columns as _columns

SILVER_PROGRESS = "lake.silver.progress"  # one row per topic partition: the next bronze offset that silver has not seen
GOLD_PROGRESS = "lake.gold.progress"  # one row per topic partition: the next offset of silver that gold.daily has not seen
FEATURES_PROGRESS = "lake.gold.features_progress"  # the same of the offline features
# One row per table that gold.forecast_actual is made of: its snapshot up to which it was taken in
FORECAST_ACTUAL_PROGRESS = "lake.gold.forecast_actual_progress"

SPARK_TYPES: dict[DType, str] = {
    "int64": "bigint",
    "float64": "double",
    "string": "string",
    "int64[]": "array<bigint>",
    "float64[]": "array<double>",
}
_ORIGIN = (("topic", "string"), ("partition", "int"), ("offset", "bigint"))
_PROGRESS = (("topic", "string"), ("partition", "int"), ("next_offset", "bigint"))
_EVENT = _columns("""
    event_id string
    event_time timestamp
    event_time_ms bigint
    store_id string
    product_id string
""")

BRONZE_EVENTS = Table(
    tables.BRONZE_EVENTS,
    (
        *_ORIGIN,
        *_columns("""
    kafka_time timestamp
    ingest_time timestamp
    key binary
    value binary
    headers array<struct<key: string, value: binary>>
"""),
    ),
    ("days(ingest_time)", "topic"),
    # each task reads one topic partition: as it comes, its files cover narrow ranges of offsets, which later reads skip by
    {"write.distribution-mode": "none", "write.spark.fanout.enabled": "true"},
)
BRONZE_LOSSES = Table(
    tables.BRONZE_LOSSES,
    _columns("""
    topic string
    partition int
    first bigint
    last bigint
    found_at timestamp
"""),
)
BRONZE_TOPICS = Table(
    tables.BRONZE_TOPICS,
    _columns("""
    topic string
    topic_id string
    met_at timestamp
"""),
)
SILVER_SALES = Table(
    tables.SILVER_SALES,
    (
        *_EVENT,
        *_columns("""
    line_number int
    channel string
    quantity bigint
    unit_price bigint
    list_price bigint
    promotion_id string
    category_id string
    sale_id string
    schema_version int
    local_day date
"""),
        *_ORIGIN,
    ),
    ("months(local_day)",),
)
SILVER_INVENTORY = Table(
    tables.SILVER_INVENTORY,
    (*_EVENT, ("kind", "string"), ("quantity", "bigint"), ("local_day", "date"), *_ORIGIN),
    ("months(local_day)",),
)
SILVER_PRICES = Table(
    tables.SILVER_PRICES,
    (
        *_EVENT,
        *_columns("""
    valid_from date
    valid_to date
    price bigint
    list_price bigint
    promotion_id string
"""),
        *_ORIGIN,
    ),
)
SILVER_FORECASTS = Table(
    tables.SILVER_FORECASTS,
    (
        *_EVENT,
        *_columns("""
    as_of_ms bigint
    model_name string
    model_version string
    fallback string
    feature_age_seconds double
    target_day date
    mean double
    quantiles map<string,double>
"""),
        *_ORIGIN,
    ),
    ("months(event_time)",),
)
SILVER_DUPLICATES = Table(tables.SILVER_DUPLICATES, (*_ORIGIN, ("event_id", "string"), ("lines", "int")), ("topic",))
SILVER_QUARANTINE = Table(
    tables.SILVER_QUARANTINE,
    (
        *_ORIGIN,
        *_columns("""
    reason string
    detail string
    key binary
    raw binary
    kafka_time timestamp
    lines int
"""),
    ),
    ("topic",),
)
GOLD_DAILY = Table(
    tables.GOLD_DAILY,
    _columns("""
    store_id string
    product_id string
    local_day date
    units bigint
    returned_units bigint
    sales_cents bigint
    refund_cents bigint
    receipts bigint
    promotion_units bigint
    price bigint
    list_price bigint
    promoted boolean
    in_stock double
    demand double
    demand_reason string
    complete boolean
    promotion_id string
    closing_on_hand bigint
    counted_at timestamp
    received_units bigint
    adjusted_units bigint
    transferred_units bigint
"""),
    ("months(local_day)",),
)
GOLD_RETURNS = Table(
    tables.GOLD_RETURNS,
    _columns("""
    store_id string
    product_id string
    local_day date
    event_id string
    line_number int
    returned_at timestamp
    units bigint
    unit_price bigint
    refund_cents bigint
    link string
    sale_event_id string
    sale_line_number int
    sold_at timestamp
    hours double
"""),
    ("months(local_day)",),
)
GOLD_CALENDAR = Table(
    tables.GOLD_CALENDAR,
    _columns("""
    store_id string
    local_day date
    weekday int
    month int
    is_holiday boolean
    holiday string
    days_to_holiday int
    days_since_holiday int
    calendar string
"""),
)
GOLD_FORECAST_ACTUAL = Table(
    tables.GOLD_FORECAST_ACTUAL,
    _columns("""
    source string
    event_id string
    store_id string
    product_id string
    as_of timestamp
    target_day date
    horizon_days int
    model_name string
    model_version string
    fallback string
    mean double
    quantiles map<string,double>
    units bigint
    demand double
    in_stock double
    complete boolean
    sold_by_as_of bigint
    actual double
    error double
    absolute_error double
    pinball map<string,double>
"""),
    ("months(target_day)",),
)
# Written by the nightly scoring, `training.score`
GOLD_FORECASTS = Table(
    tables.GOLD_FORECASTS,
    _columns("""
    model_name string
    model_version string
    store_id string
    product_id string
    as_of timestamp
    as_of_ms bigint
    target_day date
    mean double
    q05 double
    q10 double
    q25 double
    q50 double
    q75 double
    q90 double
    q95 double
    q975 double
"""),
)
# One row per holiday of the file that was brought last
OWN_HOLIDAYS = Table("lake.gold.own_holidays", _columns("store_id string\nday date\nname string"))
# Which silver table holds the events of each kind of topic.
SILVER_OF_KIND = {
    "sales": SILVER_SALES,
    "inventory": SILVER_INVENTORY,
    "prices": SILVER_PRICES,
    "forecasts": SILVER_FORECASTS,
}
SILVER = (*SILVER_OF_KIND.values(), SILVER_DUPLICATES, SILVER_QUARANTINE)
GOLD = (GOLD_DAILY, GOLD_RETURNS, GOLD_CALENDAR, OWN_HOLIDAYS, GOLD_FORECASTS, GOLD_FORECAST_ACTUAL)
PROGRESS = (
    *(Table(name, _PROGRESS) for name in (SILVER_PROGRESS, GOLD_PROGRESS, FEATURES_PROGRESS)),
    Table(FORECAST_ACTUAL_PROGRESS, _columns("source string\nsnapshot_id bigint")),
)


def feature_table(view: View) -> Table:
    """The offline table of a view: entity keys, Feast's two timestamps, the row's origin, the features of the catalogue.

    `event_time` is the instant of `as_of_ms`: Feast joins by it. `created` breaks ties between two computations of one row.
    """
    keys = tuple((ENTITY_KEYS[entity], "string") for entity in view.entities)
    origin = tuple((name, SPARK_TYPES[dtype]) for name, dtype in METADATA.items())
    features = tuple((feature.name, SPARK_TYPES[feature.dtype]) for feature in features_of(view.name))
    timestamps = (("event_time", "timestamp"), ("created", "timestamp"))
    partitions = () if view.source == "reference" else ("months(event_time)",)
    return Table(view.table, (*keys, *timestamps, *origin, *features), partitions)


def history_table(view: View, name: str) -> Table:
    """The table of a static view's versions: its key, its features, the instants from and until which they hold.

    `valid_to` of a current version lies beyond every event, so that a join needs no case for it.
    """
    keys = tuple((ENTITY_KEYS[entity], "string") for entity in view.entities)
    features = tuple((feature.name, SPARK_TYPES[feature.dtype]) for feature in features_of(view.name))
    return Table(name, (*keys, *features, ("valid_from", "timestamp"), ("valid_to", "timestamp"), ("is_current", "boolean")))


HISTORY_TABLES = {
    PRODUCT.name: history_table(PRODUCT, tables.GOLD_PRODUCT_HISTORY),
    STORE.name: history_table(STORE, tables.GOLD_STORE_HISTORY),
}
FEATURE_TABLES = {view.name: feature_table(view) for view in VIEWS.values()}
BRONZE = (BRONZE_EVENTS, BRONZE_LOSSES, BRONZE_TOPICS)
TABLES = (
    *BRONZE,
    *SILVER,
    *GOLD,
    *FEATURE_TABLES.values(),
    *HISTORY_TABLES.values(),
    *PROGRESS,
)
BY_NAME = {table.name: table for table in TABLES}
# Replaced by the lake's jobs, month by month or as a whole, and so published under the quality rules
PUBLISHED = (
    GOLD_DAILY,
    GOLD_RETURNS,
    GOLD_CALENDAR,
    OWN_HOLIDAYS,
    GOLD_FORECAST_ACTUAL,
    *FEATURE_TABLES.values(),
    *HISTORY_TABLES.values(),
)


def create_if_missing(session: SparkSession, wanted: Iterable[Table] = TABLES) -> None:
    """Creates the tables that are not there, and adds the columns that a table has gained since it was made."""
    create(session, wanted)
