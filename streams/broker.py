"""The adapter to Kafka's client library: connections that fail clearly, and its errors as ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import ISOLATION_LEVEL

TIMEOUT_SECONDS = 10
# librdkafka reports each refused connection on its own; one error of ours says it once
QUIET = logging.getLogger("streams.librdkafka")
QUIET.addHandler(logging.NullHandler())
QUIET.propagate = False


def connect(settings: Settings) -> AdminClient:
    """An admin client that has reached a broker. Raises DependencyUnavailable."""
    admin = AdminClient({"bootstrap.servers": settings.kafka, "socket.connection.setup.timeout.ms": 5000}, logger=QUIET)
    try:
        admin.list_topics(timeout=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise unavailable(settings, "connecting to Kafka", error) from error
    return admin


def unavailable(settings: Settings, doing: str, error: KafkaException) -> DependencyUnavailable:
    """A Kafka error as ours."""
    return DependencyUnavailable(
        f"Kafka at {settings.kafka} did not do what was asked",
        doing=doing,
        why=reason(error),
        hint="Run `./rd360 status`, then `./rd360 up --only kafka`.",
    )


def reason(error: KafkaException) -> str:
    """Kafka's own words for what went wrong."""
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)


def reader(settings: Settings, group: str | None = None) -> Consumer:
    """A consumer that commits nothing and reports the end of each partition; it can tell what a group has committed."""
    return Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": group or f"{settings.topic_prefix}rd360-reader",  # required by the client, whoever does not ask for it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": ISOLATION_LEVEL,
            "auto.offset.reset": "earliest",
        },
        logger=QUIET,
    )


def read_to_end(settings: Settings, topic: str, partition: int, offset: int = OFFSET_BEGINNING) -> Iterator[Message]:
    """The messages of a partition from an offset to its end as it is met. Raises DependencyUnavailable."""
    consumer = reader(settings)
    try:
        consumer.assign([TopicPartition(topic, partition, offset)])
        while True:
            message = consumer.poll(TIMEOUT_SECONDS)
            if message is None:
                raise DependencyUnavailable(f"Kafka at {settings.kafka} sent nothing", doing=f"reading {topic}[{partition}]")
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise unavailable(settings, f"reading {topic}[{partition}]", KafkaException(error))
    finally:
        consumer.close()


def end_offset(settings: Settings, topic: str, partition: int) -> int:
    """The offset after the last message of a partition. Raises DependencyUnavailable."""
    consumer = reader(settings)
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_SECONDS)
    except KafkaException as error:
        raise unavailable(settings, f"asking for the end of {topic}[{partition}]", error) from error
    finally:
        consumer.close()
    return int(end)


def has_messages(settings: Settings, topic: str, partition: int, offset: int) -> bool:
    """Whether a reader would see a message at or after an offset."""
    return next(read_to_end(settings, topic, partition, offset), None) is not None
