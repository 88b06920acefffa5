"""What the decoders take, what they refuse and why: whatever bytes arrive, the answer is an event or InvalidEvent."""

from __future__ import annotations

import contextlib
import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import events
from contracts.errors import InvalidEvent
from contracts.events import MAX_EVENT_BYTES, decode_forecast, decode_inventory, decode_price, decode_receipt, encode
from tests.builders import NOON, line, price, receipt, stock

RECEIPT = json.loads(encode(receipt()))
LINE = RECEIPT["lines"][0]


def changed(**fields: Any) -> bytes:
    return json.dumps(RECEIPT | fields).encode()


def changed_line(**fields: Any) -> bytes:
    return changed(lines=[LINE | fields])


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in RECEIPT.items() if name != field}).encode()


HOSTILE: list[tuple[str, bytes | None, str]] = [
    ("no value", None, "empty"),
    ("zero bytes", b"", "empty"),
    ("larger than allowed", b'{"event_id":"' + b"x" * MAX_EVENT_BYTES + b'"}', "too_large"),
    ("not JSON", b"sold two apples", "not_json"),
    ("cut off", changed()[:-1], "not_json"),
    ("trailing bytes", changed() + b"}", "not_json"),
    ("not UTF-8 in a text", changed().replace(b"s-1", b"\xff\xfe1"), "not_json"),
    ("UTF-16", changed().decode().encode("utf-16"), "not_json"),
    ("a lone surrogate", changed().replace(b"s-1", b"\\ud800"), "not_json"),
    ("NaN", changed().replace(b"250", b"NaN"), "not_json"),
    ("Infinity", changed().replace(b"250", b"Infinity"), "not_json"),
    ("nested without end", b"[" * 100_000 + b"]" * 100_000, "contract"),
    ("nested in an unknown field", changed()[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not_json"),
    ("a list", b"[]", "contract"),
    ("a number", b"7", "contract"),
    ("null", b"null", "contract"),
    ("an empty object", b"{}", "contract"),
    ("no event id", without("event_id"), "contract"),
    ("no time", without("event_time"), "contract"),
    ("no store", without("store_id"), "contract"),
    ("no channel", without("channel"), "contract"),
    ("no lines", without("lines"), "contract"),
    ("an empty id", changed(event_id=""), "contract"),
    ("an id too long", changed(event_id="x" * 129), "contract"),
    ("an id with a line break", changed(event_id="r\n1"), "contract"),
    ("an id with a zero byte", changed(store_id="s\x001"), "contract"),
    ("an id with the separator of stored keys", changed_line(product_id="p\x1f1"), "contract"),
    ("an id that is a number", changed(store_id=7), "contract"),
    ("an id that is null", changed(store_id=None), "contract"),
    ("a time as text", changed(event_time="2025-06-15T12:00:00Z"), "contract"),
    ("a time in seconds", changed(event_time=NOON // 1000), "contract"),
    ("a time in microseconds", changed(event_time=NOON * 1000), "contract"),
    ("a time with a fraction", changed(event_time=NOON + 0.5), "contract"),
    ("a time as true", changed(event_time=True), "contract"),
    ("another channel", changed(channel="fax"), "contract"),
    ("no line", changed(lines=[]), "contract"),
    ("too many lines", changed(lines=[LINE] * 10_001), "contract"),
    ("lines that are null", changed(lines=None), "contract"),
    ("a quantity as text", changed_line(quantity="2"), "contract"),
    ("half a piece", changed_line(quantity=0.5), "contract"),
    ("a quantity beyond 64 bits", changed_line(quantity=2**70), "contract"),
    ("a quantity beyond a billion", changed_line(quantity=10**9 + 1), "contract"),
    ("a line worth more than all receipts of a year", changed_line(quantity=10**9, unit_price=10**9), "contract"),
    ("a return worth as much", changed_line(quantity=-(10**9), unit_price=10**9), "contract"),
    ("lines that are worth too much together", changed(lines=[LINE | {"quantity": 10**6, "unit_price": 10**6 + 1}]), "contract"),
    ("a negative price", changed_line(unit_price=-1), "contract"),
    ("a price with cents as a fraction", changed_line(unit_price=2.5), "contract"),
    ("a price without bound", changed().replace(b"250", b"1" + b"0" * 400), "contract"),
    ("a version 0", changed(schema_version=0), "contract"),
    ("nothing sold and nothing returned", changed_line(quantity=0), "zero_quantity"),
]


@pytest.mark.parametrize(("raw", "reason"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_a_hostile_receipt_is_refused_with_its_reason(raw: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode_receipt(raw)
    assert refused.value.reason == reason
    assert refused.value.detail


def test_every_refusal_has_a_known_reason() -> None:
    assert {case[2] for case in HOSTILE} <= set(get_args(events.Reason))


@pytest.mark.parametrize(
    "raw",
    [
        changed(),
        changed(schema_version=2, weather="sunny", basket={"coupons": [1, 2]}),
        changed_line(cashier_note="x"),
        changed(store_id="Øst-7 ☂", event_id="r/1?&"),
        changed_line(quantity=-3),
        changed_line(unit_price=0),
        changed_line(quantity=10**6, unit_price=10**6),
        changed_line(list_price=None, promotion_id=None),
        json.dumps(RECEIPT, indent=2).encode(),
    ],
    ids=[
        "as built",
        "a newer version with unknown fields",
        "an unknown field of a line",
        "ids beyond ASCII",
        "a return",
        "a gift",
        "as much as a receipt may be worth",
        "nulls",
        "spaced",
    ],
)
def test_what_the_contract_allows_is_taken(raw: bytes) -> None:
    assert decode_receipt(raw).lines


def test_the_last_of_two_equal_field_names_counts_for_every_reader_alike() -> None:
    raw = changed().replace(b'"quantity": 1', b'"quantity": 1, "quantity": 4')
    assert decode_receipt(raw).lines[0].quantity == json.loads(raw)["lines"][0]["quantity"] == 4


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    for decode in (decode_receipt, decode_inventory, decode_price, decode_forecast):
        with pytest.raises(InvalidEvent):
            decode(raw)


@given(st.integers(0, len(encode(receipt())) - 1), st.integers(0, 255))
def test_a_flipped_byte_gives_an_event_or_a_reason(at: int, byte: int) -> None:
    raw = bytearray(encode(receipt()))
    raw[at] = byte
    with contextlib.suppress(InvalidEvent):
        assert decode_receipt(bytes(raw)).lines


def test_our_own_events_survive_the_wire() -> None:
    for event, decode in (
        (receipt("r", NOON, line("a", -2), line("b", 3, promotion_id="x", list_price=300)), decode_receipt),
        (stock(kind="transfer", quantity=-4), decode_inventory),
        (price(store_id="s-1"), decode_price),
    ):
        assert decode(encode(event)) == event


def test_a_plan_that_ends_before_it_starts_is_refused() -> None:
    raw = json.dumps(json.loads(encode(price())) | {"valid_from": "2025-06-02", "valid_to": "2025-06-01"}).encode()
    with pytest.raises(InvalidEvent) as refused:
        decode_price(raw)
    assert refused.value.reason == "validity"


@pytest.mark.parametrize("day", ["2025-02-30", "15.06.2025", "2025-06-15T00:00:00", 20254])
def test_a_day_that_is_none_is_refused(day: Any) -> None:
    with pytest.raises(InvalidEvent):
        decode_price(json.dumps(json.loads(encode(price())) | {"valid_from": day}).encode())
