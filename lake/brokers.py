"""Kafka's own word on its topics: which partitions there are, the first and next offset of each, which offsets hold a message."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import ISOLATION_LEVEL, TOPICS
from lake import spans
from lake.spans import Span

ANSWER_SECONDS = 4.0
_NO_LEADER_YET = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
READ_THROUGH = 1_000  # offsets between two spans: fewer are read through, since a seek costs as much as reading these


def source_topics(settings: Settings) -> dict[str, str]:
    """The name of each topic of ours on the broker, and its kind."""
    return {topic.name(settings.topic_prefix): topic.kind for topic in TOPICS}


def there(settings: Settings, topics: Iterable[str]) -> set[str]:
    """Those of the topics that exist. Raises DependencyUnavailable within seconds."""
    with _consumer(settings, "asking for its topics") as consumer:
        return set(topics) & set(consumer.list_topics(timeout=ANSWER_SECONDS).topics)


def offsets(settings: Settings, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """First and next offset of every partition of the topics that exist. Raises DependencyUnavailable within seconds."""
    with _consumer(settings, "asking for its offsets") as consumer:
        known = consumer.list_topics(timeout=ANSWER_SECONDS).topics
        return {
            (topic, partition): _watermarks(consumer, TopicPartition(topic, partition))
            for topic in sorted(topics)
            if topic in known
            for partition in sorted(known[topic].partitions)
        }


def topic_ids(settings: Settings, topics: Iterable[str]) -> dict[str, str]:
    """The id that Kafka gave each of these topics when it was made. Raises DependencyUnavailable within seconds."""
    wanted = sorted(topics)
    if not wanted:
        return {}
    client = AdminClient({"bootstrap.servers": settings.kafka, "log_level": 0})
    answers = client.describe_topics(TopicCollection(wanted), request_timeout=ANSWER_SECONDS)
    try:
        return {topic: str(answer.result().topic_id) for topic, answer in answers.items()}
    except KafkaException as error:
        raise DependencyUnavailable(
            f"Kafka at {settings.kafka} does not answer", doing="asking for the ids of topics", why=_reason(error)
        ) from error


def filled(settings: Settings, asked: Mapping[tuple[str, int], Sequence[Span]]) -> dict[tuple[str, int], list[Span]]:
    """The offsets of the spans asked for at which Kafka has a message, for each partition asked for.

    The others are void: markers of transactions, or what compaction took. Every message in a span is read, and those between
    spans that are near each other. Raises DependencyUnavailable.
    """
    with _consumer(settings, "asking which offsets hold a message") as consumer:
        return {
            (topic, partition): spans.within(
                spans.of_offsets(
                    offset
                    for first, last in spans.joined(wanted, apart=READ_THROUGH)
                    for offset in _offsets(settings, consumer, TopicPartition(topic, partition, first), last)
                ),
                spans.joined(wanted),
            )
            for (topic, partition), wanted in asked.items()
        }


def ends_void(settings: Settings, starts: Mapping[tuple[str, int], tuple[int, int]]) -> set[tuple[str, int]]:
    """The partitions at which Kafka has no message from a start to its next offset. Raises DependencyUnavailable."""
    with _consumer(settings, "asking whether a message follows") as consumer:
        return {
            (topic, partition)
            for (topic, partition), (start, following) in starts.items()
            if next(_offsets(settings, consumer, TopicPartition(topic, partition, start), following - 1), None) is None
        }


def _watermarks(consumer: Consumer, place: TopicPartition) -> tuple[int, int]:
    """First and next offset; asked again while a partition that was just made has no leader yet."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
            consumer.poll(0.1)  # lets the client ask for the topic's metadata again


def _offsets(settings: Settings, consumer: Consumer, start: TopicPartition, last: int) -> Iterator[int]:
    consumer.assign([start])
    while True:
        message = consumer.poll(ANSWER_SECONDS)
        if message is None:
            raise DependencyUnavailable(
                f"Kafka at {settings.kafka} sent nothing", doing=f"reading {start.topic}/{start.partition} from {start.offset}"
            )
        error = message.error()
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            return
        if error is not None:
            raise KafkaException(error)
        offset = message.offset()
        if offset is None or offset > last:
            return
        yield offset
        if offset == last:
            return


@contextmanager
def _consumer(settings: Settings, doing: str) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": "rd360-lake-offsets",  # never joined: partitions are assigned by hand, nothing is committed
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": ISOLATION_LEVEL,
            "auto.offset.reset": "error",  # an offset that retention has just taken is an error, not another place
            "log_level": 0,  # what goes wrong is raised below, not printed by a background thread
        }
    )
    try:
        yield consumer
    except KafkaException as error:
        raise DependencyUnavailable(f"Kafka at {settings.kafka} does not answer", doing=doing, why=_reason(error)) from error
    finally:
        consumer.close()


def _reason(error: KafkaException) -> str:
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)
