"""Bronze to silver, DataFrame to DataFrame: decoded by the shared rule, each event once, what is refused kept with its reason."""

from __future__ import annotations

from functools import partial

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema

from contracts.settings import Settings
from lake import local_days
from lake.decode import DECODED, RAW, REFUSED, Rule, decode
from lake.schemas import SILVER_DUPLICATES, SILVER_OF_KIND, SILVER_QUARANTINE

ACCEPTED, DUPLICATE = "accepted", "duplicate"
IDENTITY = ("topic", "store_id", "product_id", "event_id")  # as the stream has it, whose memory of ids is of one key


def rule_of(settings: Settings) -> Rule:
    """The acceptance rule under these settings."""
    return Rule(settings.topic_prefix, settings.topic_partitions, settings.max_event_lead_ms)


def decoded(bronze: DataFrame, rule: Rule) -> DataFrame:
    """One row per silver row to be, or per refused message (`type` refused), in the columns of DECODED."""
    raw = bronze.select(
        "topic", "partition", "offset", sf.unix_millis("kafka_time").alias("kafka_time_ms"), "key", "value"
    ).select(*RAW.names)
    return raw.mapInArrow(partial(decode, rule=rule), from_arrow_schema(DECODED))


def marked(rows: DataFrame, known: DataFrame) -> DataFrame:
    """Decoded rows with their `fate`: accepted, duplicate or refused.

    Of the rows of one IDENTITY those of the first message are accepted, by partition and offset; none where silver has that
    identity already. So a message can have rows of both fates. `known` is one row per IDENTITY in silver.
    """
    place = sf.struct("partition", "offset")
    first = sf.min(place).over(Window.partitionBy(*IDENTITY))
    before = known.select(*IDENTITY, sf.lit(True).alias("is_known"))
    is_new = sf.col("is_first") & sf.col("is_known").isNull()
    events = (
        rows.where(sf.col("type") != REFUSED)
        .withColumn("is_first", place == first)
        .join(before, on=list(IDENTITY), how="left")
        .withColumn("fate", sf.when(is_new, ACCEPTED).otherwise(DUPLICATE))
        .select(*DECODED.names, "fate")
    )
    refused = rows.where(sf.col("type") == REFUSED).select(*DECODED.names, sf.lit(REFUSED).alias("fate"))
    return events.unionByName(refused)


def known_events(silver: DataFrame, rows: DataFrame) -> DataFrame:
    """One row per IDENTITY of `rows` that a silver table has: the table is only looked through for these."""
    wanted = rows.where(sf.col("event_id").isNotNull()).select(*IDENTITY).distinct()
    return silver.join(wanted, on=list(IDENTITY), how="left_semi").select(*IDENTITY).distinct()


def silver_rows(rows: DataFrame, kind: str, settings: Settings) -> DataFrame:
    """The rows of a silver table: those accepted of one kind of topic."""
    instant = sf.timestamp_millis("event_time_ms")
    zone = local_days.zone_of(sf.col("store_id"), settings)
    return (
        rows.where((sf.col("fate") == ACCEPTED) & (sf.col("type") == kind))
        .withColumn("event_time", instant)
        .withColumn("local_day", local_days.local_day(instant, zone))
        .select(*SILVER_OF_KIND[kind].column_names)
    )


def duplicates(rows: DataFrame) -> DataFrame:
    """One row per message that repeats an event, in whole or in part; `lines` is how many of its rows do."""
    return (
        rows.where(sf.col("fate") == DUPLICATE)
        .groupBy("topic", "partition", "offset", "event_id")
        .agg(sf.count("*").cast("int").alias("lines"))
        .select(*SILVER_DUPLICATES.column_names)
    )


def quarantine(rows: DataFrame) -> DataFrame:
    """One row per refused message, with its reason and its original bytes."""
    return (
        rows.where(sf.col("fate") == REFUSED)
        .withColumn("kafka_time", sf.timestamp_millis("kafka_time_ms"))
        .select(*SILVER_QUARANTINE.column_names)
    )
