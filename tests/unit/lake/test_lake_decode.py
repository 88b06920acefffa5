"""Raw messages become rows by the acceptance rule: nothing is lost, nothing stops the batch."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest

from contracts.events import ForecastDay, ForecastServed, InventoryEvent, PriceEvent, Receipt, ReceiptLine, encode
from contracts.topics import partition_of
from lake.decode import DECODED, RAW, Rule, decode

RULE = Rule(topic_prefix="x.", partitions=4, max_lead_ms=3_600_000)
NOW = 1_700_000_000_000
RECEIPT = Receipt(
    "r-1",
    NOW,
    "s-1",
    "pos",
    (ReceiptLine("p-1", 2, 150, 200, "promo"), ReceiptLine("p-2", -1, 99)),
)


def message(topic: str, key: str | None, value: bytes | None, *, offset: int = 0, partition: int | None = None) -> dict[str, Any]:
    place = partition_of(key or "", RULE.partitions) if partition is None else partition
    return {
        "topic": f"x.{topic}",
        "partition": place,
        "offset": offset,
        "kafka_time_ms": NOW,
        "key": None if key is None else key.encode(),
        "value": value,
    }


def rows(*messages: dict[str, Any]) -> list[dict[str, Any]]:
    batch = pa.RecordBatch.from_pylist(list(messages), schema=RAW)
    found = list(decode([batch], RULE))
    assert all(part.schema == DECODED for part in found)
    return [row for part in found for row in part.to_pylist()]


def test_a_receipt_gives_one_row_per_line() -> None:
    first, second = rows(message("sales", "s-1", encode(RECEIPT), offset=7))

    assert (first["event_id"], first["event_time_ms"], first["store_id"], first["offset"]) == ("r-1", NOW, "s-1", 7)
    assert (first["line_number"], first["product_id"], first["quantity"], first["unit_price"]) == (0, "p-1", 2, 150)
    assert (first["list_price"], first["promotion_id"], first["lines"], first["type"]) == (200, "promo", 2, "sales")
    assert (second["line_number"], second["quantity"], second["list_price"], second["reason"]) == (1, -1, None, None)


def test_a_newer_version_with_unknown_fields_is_read() -> None:
    event = json.loads(encode(RECEIPT)) | {"schema_version": 9, "loyalty": {"card": "123"}}
    found = rows(message("sales", "s-1", json.dumps(event).encode()))

    assert [row["schema_version"] for row in found] == [9, 9]


def test_stock_prices_and_forecasts_keep_their_values() -> None:
    count = InventoryEvent("i-1", NOW, "s-1", "p-1", "count", 12)
    price = PriceEvent("p-1", NOW, "p-1", dt.date(2023, 11, 1), 150, 200, "*", None, "promo")
    days = (ForecastDay(dt.date(2023, 11, 15), 3.5, {"0.5": 3.0}), ForecastDay(dt.date(2023, 11, 16), 4.5, {"0.5": 4.0}))
    served = ForecastServed("f-1", NOW, "s-1", "p-1", NOW, "demand", "3", None, 1.5, days)
    stock, plan, *forecasts = rows(
        message("inventory", "s-1", encode(count)),
        message("prices", "p-1", encode(price)),
        message("forecasts", "s-1", encode(served)),
    )

    assert (stock["kind"], stock["quantity"]) == ("count", 12)
    assert (plan["store_id"], plan["valid_from"], plan["valid_to"], plan["price"]) == ("*", dt.date(2023, 11, 1), None, 150)
    assert [(row["target_day"], row["mean"], row["quantiles"]) for row in forecasts] == [
        (dt.date(2023, 11, 15), 3.5, [("0.5", 3.0)]),
        (dt.date(2023, 11, 16), 4.5, [("0.5", 4.0)]),
    ]


def test_a_forecast_without_days_is_still_a_row() -> None:
    served = ForecastServed("f-1", NOW, "s-1", "p-1", NOW, "demand", "3", "no model", 0.0, ())
    (row,) = rows(message("forecasts", "s-1", encode(served)))

    assert (row["event_id"], row["target_day"], row["lines"]) == ("f-1", None, 1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"{bad", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'"\\ud800"', "not_json"),
        (b'{"x":' + b"[" * 200_000, "not_json"),
        (b"{}", "contract"),
        (encode(RECEIPT).replace(b'"r-1"', b'"r\\u0000"'), "contract"),
        (encode(RECEIPT).replace(b'"quantity":2', b'"quantity":0'), "zero_quantity"),
        (encode(RECEIPT).replace(b'"quantity":2', b'"quantity":99999999999999999999'), "contract"),
        (encode(RECEIPT).replace(str(NOW).encode(), str(NOW + 4_000_000).encode()), "event_time_ahead"),
        (b"x" * 1_000_001, "too_large"),
    ],
)
def test_a_refused_message_is_one_row_with_its_reason_and_its_bytes(value: bytes | None, reason: str) -> None:
    (row,) = rows(message("sales", "s-1", value, offset=3))

    assert (row["type"], row["reason"], row["raw"], row["key"], row["lines"]) == ("refused", reason, value, b"s-1", 1)
    assert row["offset"] == 3
    assert row["event_id"] is None


@pytest.mark.parametrize(("key", "partition"), [("s-2", None), (None, 0), ("s-1", (partition_of("s-1", 4) + 1) % 4)])
def test_a_message_under_a_wrong_key_or_partition_is_refused(key: str | None, partition: int | None) -> None:
    (row,) = rows(message("sales", key, encode(RECEIPT), partition=partition))

    assert row["reason"] == "misrouted"


def test_one_bad_message_does_not_touch_its_neighbours() -> None:
    found = rows(
        message("sales", "s-1", encode(RECEIPT), offset=0),
        message("sales", "s-1", b"{bad", offset=1),
        message("sales", "s-1", encode(RECEIPT), offset=2),
    )

    assert sorted((row["offset"], row["type"]) for row in found) == [
        (0, "sales"),
        (0, "sales"),
        (1, "refused"),
        (2, "sales"),
        (2, "sales"),
    ]
