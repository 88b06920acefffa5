"""What Kafka knows of the stream worker: how far it has committed, and which late events it has set aside for which keys."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import cast

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.errors import DependencyUnavailable
from contracts.letters import LATE_KEYS, OFFSET, PARTITION, REASON
from contracts.settings import Settings
from contracts.stream_states import worker_group
from contracts.topics import SOURCES, Topic

ANSWER_SECONDS = 10.0
Place = tuple[int, int]  # source partition, source offset
LateKey = tuple[int, int, str, str]  # source partition, source offset, store_id, product_id


def committed(settings: Settings) -> dict[tuple[str, int], int]:
    """The next offset that the worker has committed, by kind of topic and partition; 0 where it has committed nothing.

    Raises DependencyUnavailable.
    """
    consumer = _consumer(settings, worker_group(settings))  # never subscribes, so it does not disturb the group
    try:
        places = {
            (topic.kind, number): TopicPartition(topic.name(settings.topic_prefix), number)
            for topic in SOURCES
            for number in _partitions(consumer, topic.name(settings.topic_prefix))
        }
        answers = consumer.committed(list(places.values()), timeout=ANSWER_SECONDS) if places else []
    except KafkaException as error:
        raise _unavailable(settings, "asking how far the stream worker is", error) from error
    finally:
        consumer.close()
    return {place: max(answer.offset, 0) for place, answer in zip(places, answers, strict=True)}  # negative: nothing committed


def late_events(settings: Settings, topic: Topic) -> set[LateKey]:
    """The events that came too late for some key, with that key, and that no rebuilt state has brought it since.

    Raises DependencyUnavailable.
    """
    name = topic.late(settings.topic_prefix)
    consumer = _consumer(settings, f"{settings.topic_prefix}rd360-parity")  # assigned by hand; nothing is ever committed
    late = StillLate()
    try:
        for number in _partitions(consumer, name):
            for message in _read_to_end(settings, consumer, name, number):
                headers = cast("dict[str, bytes]", dict(message.headers() or ()))  # ours come after those of the original
                late.note(headers)
    except KafkaException as error:
        raise _unavailable(settings, f"reading {name}", error) from error
    finally:
        consumer.close()
    return late.events


class StillLate:
    """The late events of each key that its state does not hold, as the letters of a late topic tell it one after another."""

    def __init__(self) -> None:
        self._late: dict[tuple[str, str], set[Place]] = {}
        self._healed: dict[tuple[str, str], set[Place]] = {}

    @property
    def events(self) -> set[LateKey]:
        """The events, each with its key."""
        return {(*place, *key) for key, places in self._late.items() for place in places}

    def note(self, headers: Mapping[str, bytes]) -> None:
        """Takes the next letter."""
        partition, offset = int(headers[PARTITION]), int(headers[OFFSET])
        for store_id, product_id in json.loads(headers[LATE_KEYS]):
            late = self._late.setdefault((store_id, product_id), set())
            match headers[REASON]:
                case b"healed":
                    healed = {place for place in late if place[0] == partition and place[1] <= offset}
                    late -= healed
                    self._healed[store_id, product_id] = healed
                case b"moved_on":  # said healed before, where the worker was killed before it had stored what it took over
                    late |= self._healed.pop((store_id, product_id), set())
                case _:
                    late.add((partition, offset))


def _consumer(settings: Settings, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.kafka,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,  # what goes wrong is raised, not printed by a background thread
        }
    )


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    known = consumer.list_topics(timeout=ANSWER_SECONDS).topics
    return sorted(known[topic].partitions) if topic in known else []


def _read_to_end(settings: Settings, consumer: Consumer, topic: str, partition: int) -> Iterator[Message]:
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    while True:
        message = consumer.poll(ANSWER_SECONDS)
        if message is None:
            raise DependencyUnavailable(f"Kafka at {settings.kafka} sent nothing", doing=f"reading {topic}[{partition}]")
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            return
        else:
            raise KafkaException(error)


def _unavailable(settings: Settings, doing: str, error: KafkaException) -> DependencyUnavailable:
    inner = error.args[0] if error.args else error
    why = str(inner.str()) if hasattr(inner, "str") else str(inner)
    return DependencyUnavailable(f"Kafka at {settings.kafka} does not answer", doing=doing, why=why)
