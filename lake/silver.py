"""Bronze to silver, DataFrame to DataFrame: decoded by the shared rule, each event once, what is refused kept with its reason."""

from __future__ import annotations

from functools import partial

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as sf
from pyspark.sql.pandas.types import from_arrow_schema

from contracts.settings import Settings
from lake import local_days, plain_receipts
from lake.decode import DECODED, RAW, REFUSED, Rule, decode
from lake.schemas import SILVER_DUPLICATES, SILVER_OF_KIND, SILVER_QUARANTINE, SILVER_SALES

ACCEPTED, DUPLICATE = "accepted", "duplicate"
IDENTITY = ("topic", "store_id", "product_id", "event_id")  # as the stream has it, whose memory of ids is of one key


PLACE = ["topic", "partition", "offset"]
_EVENT = ["topic", "store_id", "event_id"]  # the part of IDENTITY that all lines of a receipt share


def rule_of(settings: Settings) -> Rule:
    """The acceptance rule under these settings."""
    return Rule(settings.topic_prefix, settings.topic_partitions, settings.max_event_lead_ms)


def raw(bronze: DataFrame) -> DataFrame:
    """One row per message, in the columns of RAW."""
    return bronze.select(*PLACE, sf.unix_millis("kafka_time").alias("kafka_time_ms"), "key", "value").select(*RAW.names)


def decoded(messages: DataFrame, rule: Rule) -> DataFrame:
    """One row per silver row to be, or per refused message (`type` refused), in the columns of DECODED. `messages` are RAW."""
    return messages.select(*RAW.names).mapInArrow(partial(decode, rule=rule), from_arrow_schema(DECODED))


def shared(heads: DataFrame, doubtful: DataFrame, sales: DataFrame) -> DataFrame:
    """One row per message that may be plain and whose event another message has too, or silver: its place.

    `heads` are those of `lake.plain_receipts`, `doubtful` the decoded rows of the messages that may not be plain, `sales` what
    silver has. The first message of an event brings all of its lines to silver, so the first line of every event is there.
    """
    plain = heads.where("may_be_plain").select(*_EVENT, *PLACE[1:])
    others = doubtful.where(sf.col("event_id").isNotNull()).select(*_EVENT, *PLACE[1:]).distinct()
    several = plain.unionByName(others).groupBy(*_EVENT).agg(sf.count("*").alias("messages")).where("messages > 1")
    before = sales.where("line_number = 0").select(*_EVENT)
    met = several.select(*_EVENT).unionByName(plain.select(*_EVENT).join(before, on=_EVENT, how="left_semi")).distinct()
    return plain.join(met, on=_EVENT, how="left_semi").select(*PLACE)


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
    accepted = rows.where((sf.col("fate") == ACCEPTED) & (sf.col("type") == kind))
    return dated(accepted, settings).select(*SILVER_OF_KIND[kind].column_names)


def plain_rows(receipts: DataFrame, settings: Settings) -> DataFrame:
    """The rows of silver.sales: the lines of plain receipts. The day is found once a receipt, since finding it costs."""
    return plain_receipts.lines(dated(receipts, settings)).select(*SILVER_SALES.column_names)


def dated(rows: DataFrame, settings: Settings) -> DataFrame:
    """The rows with `event_time`, and its `local_day` in the zone of the row's store."""
    instant = sf.timestamp_millis("event_time_ms")
    zone = local_days.zone_of(sf.col("store_id"), settings)
    return rows.withColumn("event_time", instant).withColumn("local_day", local_days.local_day(instant, zone))


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
