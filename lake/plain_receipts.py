"""Receipts that plainly keep their contract, read by Spark's own JSON reader: nearly all messages, and none that is in doubt.

The rule of acceptance is `contracts.topics.accept`, in Python. Here is the part of it that Spark can judge alone, strict on the
side of doubt: a message passes only where the rule would accept it and read the same rows, and all others are left to the rule.
Doubt is whatever Spark's reader takes more easily than the rule does: escapes, ids that are not text, text behind the document.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts.events import (
    EARLIEST_EVENT_MS,
    LATEST_EVENT_MS,
    MAX_CENTS,
    MAX_EVENT_BYTES,
    MAX_ID_LENGTH,
    MAX_LINES,
    MAX_QUANTITY,
    MAX_RECEIPT_CENTS,
    MAX_SCHEMA_VERSION,
    SCHEMA_VERSION,
)
from contracts.topics import SALES, partition_of
from lake.decode import Rule

MAX_ROUTES = 100_000  # more keys than that are no stores; the messages of the rest are left to the rule

_LINE = (
    "product_id string, quantity bigint, unit_price bigint, "
    "list_price bigint, promotion_id string, category_id string, sale_id string"
)
_RECEIPT = (
    f"event_id string, event_time bigint, store_id string, channel string, lines array<struct<{_LINE}>>, schema_version bigint"
)
_OF_RECEIPT = ("event_id", "event_time", "store_id", "channel", "lines")
_OF_LINE = ("product_id", "quantity", "unit_price")
_OPTIONAL = ("list_price", "promotion_id", "category_id", "sale_id")  # of a line
# The document is read as a member of another, whose own end must be found behind it: Spark ignores what follows a document.
_WRAPPED = f"receipt struct<{_RECEIPT}>, end int, malformed string"
_STRICT = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": "malformed",
    "allowComments": "false",
    "allowNonNumericNumbers": "false",
    "allowNumericLeadingZeros": "false",
    "allowSingleQuotes": "false",
    "allowUnquotedControlChars": "false",
    "allowUnquotedFieldNames": "false",
}
_EVENT_ID = r'"event_id"\s*+:\s*+"([^"]*+)"'
# Both begin with what is rare, so that Java looks for that first. A number or an object where the contract wants a text, of which
# Spark makes a text:
_ID_IS_NO_TEXT = r'_id"(?<=(?:event|store|product|promotion|category|sale)_id")\s*+:\s*+[^"n]'
# and an object that is followed by a member or by another object: only so could a second document hide in the wrapping one.
_MORE_AFTER_OBJECT = r'\}\s*+(?:,\s*+"|\{)'


def topic(rule: Rule) -> str:
    """The name of the topic of receipts on the broker."""
    return SALES.name(rule.topic_prefix)


def routes(session: SparkSession, messages: DataFrame, rule: Rule) -> DataFrame:
    """One row per key of a receipt that is some text: `key`, `store_id`, and the partition `routed_to` that it belongs to."""
    of_sales = messages.where(sf.col("topic") == topic(rule))
    text = sf.col("key").cast("string")
    found = of_sales.where(_is_text(text)).select(text.alias("store_id")).distinct().limit(MAX_ROUTES).collect()
    stores = [row["store_id"] for row in found]
    rows = [(store.encode(), store, partition_of(store, rule.partitions)) for store in stores]
    return session.createDataFrame(rows, "key binary, store_id string, routed_to int")


def heads(messages: DataFrame, by_key: DataFrame, rule: Rule) -> DataFrame:
    """One row per message: place, `kafka_time_ms`, `store_id` and `event_id`, and whether it `may_be_plain`.

    For one that may, these are its event's own, should it turn out to be accepted. Of one that may not, `key` and `value` are
    kept too; of the others they are null.
    """
    text = sf.col("value").cast("string")
    may = sf.coalesce(
        (sf.col("topic") == topic(rule))
        & (sf.col("routed_to") == sf.col("partition"))
        & (sf.length("value") <= MAX_EVENT_BYTES)
        & _is_text(text)
        & ~sf.contains(text, sf.lit("\\"))
        & ~text.rlike(_ID_IS_NO_TEXT)
        & ~text.rlike(_MORE_AFTER_OBJECT)
        & (sf.size(sf.split(text, '"event_id"', 3)) == 2)
        & (sf.regexp_extract(text, _EVENT_ID, 1) != ""),
        sf.lit(False),
    )
    return (
        messages.join(sf.broadcast(by_key), on="key", how="left")
        .withColumn("may_be_plain", may)
        .select(
            "topic",
            "partition",
            "offset",
            "kafka_time_ms",
            "may_be_plain",
            sf.when(sf.col("may_be_plain"), sf.col("store_id")).alias("store_id"),
            sf.when(sf.col("may_be_plain"), sf.regexp_extract(text, _EVENT_ID, 1)).alias("event_id"),
            sf.when(~sf.col("may_be_plain"), sf.col("key")).alias("key"),
            sf.when(~sf.col("may_be_plain"), sf.col("value")).alias("value"),
        )
    )


def read(messages: DataFrame, rule: Rule) -> DataFrame:
    """One row per message of `messages`, which may all be plain: place, `is_plain`, and the fields of its receipt.

    The fields mean nothing where it is not plain.
    """
    text = sf.col("value").cast("string")
    wrapped = sf.from_json(sf.concat(sf.lit('{"receipt":'), text, sf.lit(',"end":1}')), _WRAPPED, _STRICT)
    return (
        messages.withColumn("read", wrapped)
        .withColumn("is_plain", sf.coalesce(_keeps_contract(text, rule), sf.lit(False)))
        .select("topic", "partition", "offset", "is_plain", "read.receipt.*")
        .withColumn("schema_version", sf.coalesce("schema_version", sf.lit(SCHEMA_VERSION)).cast("int"))
        .withColumnRenamed("event_time", "event_time_ms")
    )


def lines(receipts: DataFrame) -> DataFrame:
    """One row per line of the plain receipts among `receipts`: the line's fields, its number, and the receipt's other columns."""
    receipt = [name for name in receipts.columns if name not in ("is_plain", "lines")]
    plain = receipts.where("is_plain").withColumn("lines", _under_one_category(sf.col("lines")))
    return plain.select(*receipt, sf.posexplode("lines").alias("line_number", "line")).select(*receipt, "line_number", "line.*")


def _under_one_category(lines: Column) -> Column:
    """The lines, those of one product all under the category that its sale counts in: the last by name of those named."""

    def with_category(line: Column) -> Column:
        same = sf.filter(lines, lambda other: other["product_id"] == line["product_id"])
        return line.withField("category_id", sf.array_max(sf.transform(same, lambda other: other["category_id"])))

    each_product_once = sf.size(sf.array_distinct(lines["product_id"])) == sf.size(lines)
    return sf.when(each_product_once, lines).otherwise(sf.transform(lines, with_category))


def _keeps_contract(text: Column, rule: Rule) -> Column:
    """Whether the document is whole and each field of its receipt within the contract; null for some that are not."""
    receipt, version = "read.receipt", sf.col("read.receipt.schema_version")
    time_ms = sf.col(f"{receipt}.event_time")
    return (
        sf.col("read.malformed").isNull()
        & (sf.col("read.end") == 1)
        & _is_id(sf.col(f"{receipt}.event_id"))
        & (time_ms >= EARLIEST_EVENT_MS)
        & (time_ms < LATEST_EVENT_MS)
        & (time_ms <= sf.col("kafka_time_ms") + rule.max_lead_ms)
        & (sf.col(f"{receipt}.store_id") == sf.col("key").cast("string"))
        & _is_id(sf.col(f"{receipt}.store_id"))
        & sf.col(f"{receipt}.channel").isin("pos", "online")
        & (version.isNull() | version.between(1, MAX_SCHEMA_VERSION))
        & sf.size(f"{receipt}.lines").between(1, MAX_LINES)
        & sf.forall(f"{receipt}.lines", _line_keeps_contract)
        & (sf.aggregate(f"{receipt}.lines", sf.lit(0.0), _and_worth) <= MAX_RECEIPT_CENTS)
        & _names_each_field_once(text)
    )


def _line_keeps_contract(line: Column) -> Column:
    def optional(value: Column, condition: Column) -> Column:
        return value.isNull() | condition

    quantity, list_price = line["quantity"], line["list_price"]
    return (
        _is_id(line["product_id"])
        & (quantity != 0)
        & quantity.between(-MAX_QUANTITY, MAX_QUANTITY)
        & line["unit_price"].between(0, MAX_CENTS)
        & optional(list_price, list_price.between(0, MAX_CENTS))
        & optional(line["promotion_id"], _is_id(line["promotion_id"]))
        & optional(line["category_id"], _is_id(line["category_id"]))
        & optional(line["sale_id"], _is_id(line["sale_id"]))
    )


def _and_worth(cents: Column, line: Column) -> Column:
    """In doubles, which have no end, and are exact far beyond the limit."""
    return cents + sf.abs(line["quantity"].cast("double")) * line["unit_price"].cast("double")


def _names_each_field_once(text: Column) -> Column:
    """Whether no field of the receipt or of a line is named twice: of such a one Spark sees only the last value, the rule all.

    Where every member of the document is a field of ours, as most producers write it, counting the members tells. Otherwise each
    field's name is counted. A null that may be there is no harm before a value.
    """
    lines, version = sf.col("read.receipt.lines"), sf.col("read.receipt.schema_version").isNotNull().cast("int")
    valued = {name: sf.size(sf.filter(lines, _has(name))) for name in _OPTIONAL}
    required = len(_OF_RECEIPT) + len(_OF_LINE) * sf.size(lines) + version
    nulls = reduce(Column.__add__, (_times(text, f'{name}":null') for name in _OPTIONAL))
    only_ours = _times(text, '":') == required + reduce(Column.__add__, valued.values()) + nulls
    expected = {name: sf.lit(1) for name in _OF_RECEIPT} | {name: sf.size(lines) for name in _OF_LINE}
    expected |= {name: valued[name] + _times(text, f'"{name}"\\s*+:\\s*+null') for name in _OPTIONAL} | {
        "schema_version": version
    }
    each_once = reduce(Column.__and__, (_times(text, f'"{name}"') == number for name, number in expected.items()))
    return only_ours | each_once


def _has(name: str) -> Callable[[Column], Column]:
    return lambda line: line[name].isNotNull()


def _times(text: Column, wanted: str) -> Column:
    """How often a regular expression is found in a text."""
    return sf.size(sf.split(text, wanted)) - 1


def _is_id(text: Column) -> Column:
    """Whether a text has an identifier's length; that it has no control characters is asked of the whole message."""
    return sf.char_length(text).between(1, MAX_ID_LENGTH)


def _is_text(text: Column) -> Column:
    """Whether bytes are UTF-8 without DEL, the only control character that JSON lets stand in a text."""
    return sf.is_valid_utf8(text) & ~sf.contains(text, sf.lit("\x7f"))
