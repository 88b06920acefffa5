"""Sends messages to the source topics as the contract asks: keyed, by Java's partitioner, acknowledged by all replicas."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contracts.errors import DependencyUnavailable, UsageError
from contracts.events import Event, encode
from contracts.settings import Settings
from contracts.topics import Topic
from streams.broker import QUIET, connect, reason, unavailable
from streams.declare import SOURCE_BYTES

PARTITIONER = "murmur2_random"  # Java's default: the partition of a key is part of the contract
FLUSH_SECONDS = 60.0


class Publisher:
    """Sends and counts. Use as a context manager: leaving it flushes, and raises where anything was not acknowledged."""

    def __init__(self, settings: Settings, client_id: str = "rd360-producer") -> None:
        connect(settings)  # fails at once and clearly, where the producer itself would buffer for minutes
        self._settings = settings
        self._prefix = settings.topic_prefix
        self._failed: list[str] = []
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka,
                "client.id": client_id,
                "enable.idempotence": True,  # implies acks=all and keeps the order of a partition over retries
                "partitioner": PARTITIONER,
                "linger.ms": 20,
                "message.max.bytes": SOURCE_BYTES,  # what the contract refuses must reach its dead-letter topic too
                "queue.buffering.max.kbytes": 65_536,
                "delivery.timeout.ms": 30_000,
            },
            logger=QUIET,
        )

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.flush(5.0)

    def publish(self, topic: Topic, event: Event) -> None:
        """Sends one event under its contract's key."""
        self.send(topic.name(self._prefix), getattr(event, topic.key_field).encode(), encode(event))

    def send(self, name: str, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> None:
        """Sends bytes as they are to a topic by its name on the broker. Blocks while the buffer is full."""
        message: dict[str, Any] = {"key": key, "value": value, "headers": headers, "on_delivery": self._delivered}
        while True:
            try:
                self._producer.produce(name, **message)
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failed()
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise UsageError(
                        f"A message of {len(value or b'')} bytes is too large", doing=f"sending to {name}", why=reason(error)
                    ) from error
                raise unavailable(self._settings, f"sending to {name}", error) from error
            else:
                self._producer.poll(0)
                return

    def flush(self, seconds: float = FLUSH_SECONDS) -> None:
        """Waits for all acknowledgements. Raises DependencyUnavailable where some do not come."""
        left = self._producer.flush(seconds)
        self._raise_failed()
        if left:
            raise self._not_acknowledged(f"{left} messages without an answer after {seconds:.0f} s")

    def _delivered(self, error: Any, message: Message) -> None:
        if error is not None:
            self._failed.append(f"{message.topic()}: {error.str()}")

    def _raise_failed(self) -> None:
        if self._failed:
            raise self._not_acknowledged(f"{len(self._failed)} messages failed, the first with {self._failed[0]}")

    def _not_acknowledged(self, why: str) -> DependencyUnavailable:
        return DependencyUnavailable("Kafka did not acknowledge everything", doing="sending events", why=why)
