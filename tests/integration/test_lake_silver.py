"""Silver of a bronze full of trouble is what the acceptance rule and a set of seen events make of it, message by message."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from contracts import tables as names
from contracts.settings import Settings
from contracts.topics import partition_of
from lake import plain_receipts, schemas, silver, silver_pass
from lake.decode import RAW, REFUSED, decode_batch
from lake.jobs import silver as job
from tests import hostile
from tests.own_lake import add_to_bronze, own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

IDENTITY = ("topic", "store_id", "product_id", "event_id")
LINE = (*IDENTITY, "partition", "offset", "event_time_ms", "line_number", "channel", "quantity", "unit_price", "list_price")
LINE = (*LINE, "promotion_id", "category_id", "sale_id", "schema_version")
MESSAGES = 1_200


@dataclass(slots=True)
class Bronze:
    """A lake whose bronze is written by hand, and all messages that are in it."""

    session: SparkSession
    settings: Settings
    messages: list[dict[str, Any]] = field(default_factory=list)

    def add(self, values: list[bytes | None]) -> None:
        """One message of sales each, under the right key but for a few."""
        of_sales = f"{self.settings.topic_prefix}sales"
        partition = partition_of("s-1", self.settings.topic_partitions)
        new = []
        for value in values:
            offset = len(self.messages) + len(new)
            key = {7: b"s-2", 8: None, 9: b"\xff"}.get(offset % 100, b"s-1")
            place = {"topic": of_sales, "partition": partition, "offset": offset}
            new.append({**place, "kafka_time_ms": hostile.NOW_MS, "key": key, "value": value})
        self.messages += new
        add_to_bronze(self.session.createDataFrame(pa.Table.from_pylist(new, schema=RAW)))

    def rows(self, table: str, columns: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
        """The rows of a table and how often each is there."""
        return Counter(tuple(row.values()) for row in self.session.table(table).select(*columns).toArrow().to_pylist())


@pytest.fixture(scope="module")
def bronze(settings: Settings) -> Iterator[Bronze]:
    tag = uuid.uuid4().hex[:8]
    with own_lake(settings, tag) as session:
        schemas.create_if_missing(session)
        yield Bronze(session, settings.model_copy(update={"topic_prefix": f"silver-{tag}."}))


def by_the_rule(bronze: Bronze) -> tuple[Counter[Any], Counter[Any], Counter[Any]]:
    """Lines, duplicates and refusals: each message in order, its identities looked up among those seen before."""
    seen: set[tuple[str, ...]] = set()
    lines, duplicates, refused = Counter[Any](), Counter[Any](), Counter[Any]()
    rule = silver.rule_of(bronze.settings)
    for message in bronze.messages:
        rows = [row for part in decode_batch(pa.RecordBatch.from_pylist([message], schema=RAW), rule) for row in part.to_pylist()]
        known = set(seen)
        for row in rows:
            identity = tuple(row[name] for name in IDENTITY)
            if row["type"] == REFUSED:
                refused[(row["offset"], row["reason"], row["detail"], row["key"], row["raw"])] += 1
            elif identity in known:
                duplicates[row["offset"]] += 1
            else:
                lines[tuple(row[name] for name in LINE)] += 1
                seen.add(identity)
    return lines, duplicates, refused


def test_a_thousand_hostile_messages_are_read_as_the_rule_reads_them(bronze: Bronze, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silver_pass, "FEW", 0)
    monkeypatch.setattr(silver_pass, "OTHERS_HELD", 5)  # in the first run more are refused than are noted on the way
    bronze.add(hostile.receipts(MESSAGES // 2, seed=1))
    first = job.run(bronze.session, bronze.settings)
    monkeypatch.setattr(silver_pass, "OTHERS_HELD", 10_000)
    bronze.add(hostile.receipts(MESSAGES // 2, seed=2, first=300))  # half of them repeat ids of the first run
    second = job.run(bronze.session, bronze.settings)

    lines, duplicates, refused = by_the_rule(bronze)
    assert bronze.rows(names.SILVER_SALES, LINE) == lines
    found = bronze.session.table(names.SILVER_DUPLICATES).select("offset", "lines").collect()
    assert {row["offset"]: row["lines"] for row in found} == dict(duplicates)
    assert bronze.rows(names.SILVER_QUARANTINE, ("offset", "reason", "detail", "key", "raw")) == refused
    assert first.rows_out + second.rows_out == lines.total()
    assert first.rejected + second.rejected == refused.total() > 300
    assert first.detail["messages"] + second.detail["messages"] == MESSAGES
    reasons = Counter(first.detail["quarantined_by_reason"]) + Counter(second.detail["quarantined_by_reason"])
    assert reasons.keys() > {f"{bronze.settings.topic_prefix}sales:{reason}" for reason in ("not_json", "contract", "misrouted")}


def test_what_good_producers_send_needs_no_python(bronze: Bronze) -> None:
    """Else silver would be right and slow."""
    values = [(text % (number, hostile.NOW_MS)).encode() for number, text in enumerate(hostile.GOOD)]
    own = [{**bronze.messages[0], "offset": at, "value": value} for at, value in enumerate(values)]
    messages = bronze.session.createDataFrame(pa.Table.from_pylist(own, schema=RAW))
    rule = silver.rule_of(bronze.settings)
    heads = plain_receipts.heads(messages, plain_receipts.routes(bronze.session, messages, rule), rule)

    assert [row["may_be_plain"] for row in heads.collect()] == [True] * len(values)
    assert [row["is_plain"] for row in plain_receipts.read(messages, rule).collect()] == [True] * len(values)


def test_the_local_day_of_a_line_is_that_of_its_store(bronze: Bronze) -> None:
    days = bronze.session.table(names.SILVER_SALES).select("local_day").distinct().collect()

    assert [row["local_day"] for row in days] == [dt.datetime.fromtimestamp(hostile.NOW_MS / 1000, dt.UTC).date()]
