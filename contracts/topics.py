"""The Kafka topics: their names, their keys, and which partition a key belongs to.

A reader keeps state per key and partition, so a key must always be on the same partition, whoever produced it. The contract
is Java's own partitioner: murmur2 of the key's UTF-8 bytes. librdkafka clients set `partitioner=murmur2_random`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from contracts.errors import InvalidEvent
from contracts.events import (
    Event,
    check_lead,
    decode_forecast,
    decode_inventory,
    decode_price,
    decode_receipt,
)

# Every reader's level, so that stream and lake count the same: Faust without transactions of its own reads at no other, and a
# message of an aborted transaction is thus a message like any. Clients' own defaults differ: librdkafka's is read_committed.
ISOLATION_LEVEL = "read_uncommitted"
ALL_STORES = "*"  # the store_id of a price that holds in every store


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic and its promises."""

    kind: str
    key_field: str
    decode: Callable[[bytes | None], Event]

    def name(self, prefix: str = "") -> str:
        """The topic's name on the broker."""
        return f"{prefix}{self.kind}"

    def dead_letters(self, prefix: str = "") -> str:
        """Where events that break the contract go, with their original bytes and Connect's header names."""
        return f"{prefix}{self.kind}.dead-letters"

    def late(self, prefix: str = "") -> str:
        """Where events beyond the allowed lateness go."""
        return f"{prefix}{self.kind}.late"

    def rebuilt(self, prefix: str = "") -> str:
        """Where states made anew from the archive go, for the worker to take over."""
        return f"{prefix}{self.kind}.rebuilt"


SALES = Topic("sales", "store_id", decode_receipt)
INVENTORY = Topic("inventory", "store_id", decode_inventory)
PRICES = Topic("prices", "product_id", decode_price)
FORECASTS = Topic("forecasts", "store_id", decode_forecast)  # written by the API: what was answered
SOURCES = (SALES, INVENTORY, PRICES)
TOPICS = (*SOURCES, FORECASTS)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What a reader knows of one message besides its value. `kafka_time` is the broker's clock in ms (LogAppendTime)."""

    key: bytes | None
    partition: int
    kafka_time: int
    partitions: int  # how many the topic has


def accept(topic: Topic, raw: bytes | None, delivery: Delivery, max_lead_ms: int) -> Event:
    """The decoded event of one message, checked against the whole contract. Raises InvalidEvent.

    The stream dead-letters and the lake quarantines exactly what this refuses, so that their counts agree.
    """
    event = topic.decode(raw)
    key: str = getattr(event, topic.key_field)
    if delivery.key != key.encode():
        raise InvalidEvent("misrouted", f"the message key is {delivery.key!r}, the contract's is {topic.key_field} {key!r}")
    expected = partition_of(key, delivery.partitions)
    if delivery.partition != expected:
        raise InvalidEvent(
            "misrouted",
            f"key {key!r} is on partition {delivery.partition}, murmur2 puts it on {expected}: set partitioner=murmur2_random",
        )
    check_lead(event.event_time, delivery.kafka_time, max_lead_ms)
    return event


@functools.lru_cache(maxsize=1_000_000)
def partition_of(key: str, partitions: int) -> int:
    """The partition of a key, as Java's default partitioner chooses it."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 with Kafka's seed (org.apache.kafka.common.utils.Utils.murmur2), as an unsigned integer."""
    length, mask, m = len(data), 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ length) & mask
    whole = length & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)
