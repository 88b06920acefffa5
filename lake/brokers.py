"""Kafka's own word on its topics: which partitions there are, and the first and next offset of each."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import TOPICS

ANSWER_SECONDS = 4.0


def source_topics(settings: Settings) -> dict[str, str]:
    """The name of each topic of ours on the broker, and its kind."""
    return {topic.name(settings.topic_prefix): topic.kind for topic in TOPICS}


def offsets(settings: Settings, topics: Iterable[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """First and next offset of every partition of the topics that exist. Raises DependencyUnavailable within seconds."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": "rd360-lake-offsets",  # never joined: only metadata and watermarks are asked
            "log_level": 0,  # what goes wrong is raised below, not printed by a background thread
        }
    )
    try:
        known = consumer.list_topics(timeout=ANSWER_SECONDS).topics
        return {
            (topic, partition): consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ANSWER_SECONDS)
            for topic in sorted(topics)
            if topic in known
            for partition in sorted(known[topic].partitions)
        }
    except KafkaException as error:
        raise DependencyUnavailable(
            f"Kafka at {settings.kafka} does not answer", doing="asking for its offsets", why=_reason(error)
        ) from error
    finally:
        consumer.close()


def _reason(error: KafkaException) -> str:
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)
