"""Writes states to a changelog topic, many at once, by librdkafka: Faust's own producer makes a task and futures of each.

It blocks, so call it in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from streams.broker import QUIET, unavailable

# A record that was not delivered by then never is. Shorter than the session of a worker: another one that has the partition by
# then must not find older states behind its own.
DELIVERY_MS = 8_000
FLUSH_SECONDS = 10.0


class Changelog:
    """Sends the states of a worker's partitions; one call at a time for each topic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka,
                "client.id": "rd360-states",
                "enable.idempotence": True,  # implies acks=all and keeps the order of a partition over retries
                "delivery.timeout.ms": DELIVERY_MS,
                "linger.ms": 5,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 1_000_000,
            },
            logger=QUIET,
        )

    def write(self, topic: str, states: Mapping[int, Mapping[bytes, bytes]]) -> dict[int, int]:
        """Sends states to their partitions and waits for all acknowledgements. Returns the highest offset each partition has got.

        Raises DependencyUnavailable where one was not acknowledged; all may be sent again.
        """
        sent = {partition: _Sent() for partition, of_partition in states.items() if of_partition}
        for partition, noting in sent.items():
            for key, raw in states[partition].items():
                self._produce(topic, partition, key, raw, noting)
        left = self._producer.flush(FLUSH_SECONDS)
        failed = next((noting.failed for noting in sent.values() if noting.failed is not None), None)
        if left or failed is not None:
            self._producer.purge()
            self._producer.flush(FLUSH_SECONDS)
            why = f"{left} records without an answer" if failed is None else failed
            raise DependencyUnavailable(
                f"Kafka at {self._settings.kafka} did not take all states", doing=f"writing to {topic}", why=why
            )
        return {partition: noting.offset for partition, noting in sent.items()}

    def _produce(self, topic: str, partition: int, key: bytes, raw: bytes, sent: _Sent) -> None:
        while True:
            try:
                self._producer.produce(topic, raw, key, partition, on_delivery=sent)
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise unavailable(self._settings, f"writing to {topic}[{partition}]", error) from error
            else:
                return


class _Sent:
    """What became of the records of one partition in one call."""

    def __init__(self) -> None:
        self.offset = -1
        self.failed: str | None = None

    def __call__(self, error: Any, message: Any) -> None:
        if error is not None:
            self.failed = str(error.str())
        else:
            self.offset = max(self.offset, message.offset())
