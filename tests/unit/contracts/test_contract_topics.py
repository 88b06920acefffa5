"""Keys and partitions are part of the contract: Java's murmur2, and a message under another key is refused."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidEvent
from contracts.events import encode
from contracts.topics import INVENTORY, PRICES, SALES, SOURCES, TOPICS, Delivery, accept, murmur2, partition_of
from tests.builders import HOUR, NOON, price, receipt, stock

# from Apache Kafka's own test of org.apache.kafka.common.utils.Utils.murmur2
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "expected"), JAVA.items())
def test_murmur2_is_javas(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected % 2**32


def test_keys_beyond_ascii_hash_their_utf8_bytes() -> None:
    assert partition_of("Øst-7", 4) == (murmur2("Øst-7".encode()) & 0x7FFFFFFF) % 4


def delivered(key: bytes | None, partition: int | None = None, kafka_time: int = NOON) -> Delivery:
    at = partition_of((key or b"").decode(errors="replace"), 4) if partition is None else partition
    return Delivery(key, at, kafka_time, 4)


def test_an_event_under_its_key_on_its_partition_is_accepted() -> None:
    for topic, event in ((SALES, receipt()), (INVENTORY, stock()), (PRICES, price())):
        key = getattr(event, topic.key_field).encode()
        assert accept(topic, encode(event), delivered(key), HOUR) == event


@pytest.mark.parametrize("key", [None, b"", b"till-1", b"S-1", b"s-1 ", b"\xff"])
def test_another_key_is_misrouted(key: bytes | None) -> None:
    with pytest.raises(InvalidEvent) as refused:
        accept(SALES, encode(receipt()), delivered(key), HOUR)
    assert refused.value.reason == "misrouted"


def test_a_foreign_partitioner_is_told_which_one_to_set() -> None:
    wrong = (partition_of("s-1", 4) + 1) % 4
    with pytest.raises(InvalidEvent, match="murmur2_random") as refused:
        accept(SALES, encode(receipt()), delivered(b"s-1", wrong), HOUR)
    assert refused.value.reason == "misrouted"


def test_a_clock_may_be_ahead_as_far_as_allowed_and_no_further() -> None:
    assert accept(SALES, encode(receipt(event_time=NOON + HOUR)), delivered(b"s-1"), HOUR)
    with pytest.raises(InvalidEvent) as refused:
        accept(SALES, encode(receipt(event_time=NOON + HOUR + 1)), delivered(b"s-1"), HOUR)
    assert refused.value.reason == "event_time_ahead"


def test_the_past_is_never_refused_here() -> None:
    assert accept(SALES, encode(receipt(event_time=NOON - 10**11)), delivered(b"s-1"), HOUR)


def test_topic_names_do_not_meet() -> None:
    names = [n for t in TOPICS for n in (t.name("x."), t.dead_letters("x."), t.late("x."))]
    assert len(set(names)) == len(names)
    assert all(name.startswith("x.") for name in names)
    assert [topic.kind for topic in SOURCES] == ["sales", "inventory", "prices"]
