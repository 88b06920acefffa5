"""The bare loop: Kafka's messages through the kernel and nowhere else. What the kernel alone costs; nothing of it survives.

`python -m tests.bench.bare_loop RECEIPTS` reads so many from the topic of sales and prints its span.
"""

from __future__ import annotations

import sys

from confluent_kafka import Consumer, Message, TopicPartition

from contracts.clock import system_clock
from contracts.errors import DependencyUnavailable
from contracts.settings import Settings, load_settings
from contracts.topics import SALES
from streams import memory
from streams.broker import TIMEOUT_SECONDS, reader
from streams.processor import Changes, Incoming, Partition
from tests.bench.alone import Span, kernel, say

BATCH_MESSAGES = 8_000  # as the worker


def run(settings: Settings, receipts: int) -> None:
    """Reads so many receipts. Raises DependencyUnavailable where Kafka has fewer."""
    partitions = {number: _partition(settings, number) for number in range(settings.topic_partitions)}
    consumer = _consumer(settings)
    span, done = Span(), 0
    memory.calm()
    while done < receipts:
        messages = consumer.consume(BATCH_MESSAGES, timeout=TIMEOUT_SECONDS if not done else 0.05)
        if not messages and not done:
            raise DependencyUnavailable(f"Kafka at {settings.kafka} sent nothing", doing="reading receipts")
        for number, group in _by_partition(messages).items():
            partition = partitions[number]
            work, changes = partition.take(partition.decode(group), system_clock()), Changes()
            for touched in work.touched:
                partition.add(touched, slice(None), changes)
            partition.add_sums(work.sums, slice(None), changes)
            done += len(group)
        if messages and not span.has_begun:
            span.begin(done)
    say(span.end(done))
    consumer.close()


def _partition(settings: Settings, number: int) -> Partition:
    return Partition(
        kernel(settings),
        number,
        settings.topic_partitions,
        lambda keys: [None] * len(keys),
        states="",
        max_lead_ms=settings.max_event_lead_ms,
        lateness_ms=settings.allowed_lateness_ms,
    )


def _consumer(settings: Settings) -> Consumer:
    consumer = reader(settings)
    topic = SALES.name(settings.topic_prefix)
    consumer.assign([TopicPartition(topic, number, 0) for number in range(settings.topic_partitions)])
    return consumer


def _by_partition(messages: list[Message]) -> dict[int, list[Incoming]]:
    groups: dict[int, list[Incoming]] = {}
    for message in messages:
        if message.error() is None:  # the end of a partition is reported as one
            one = _incoming(message)
            groups.setdefault(one.partition, []).append(one)
    return groups


def _incoming(message: Message) -> Incoming:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    _, kafka_time = message.timestamp()
    return Incoming(topic, partition, offset, kafka_time, message.key(), message.value())


if __name__ == "__main__":
    run(load_settings(), int(sys.argv[1]))
