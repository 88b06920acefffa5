"""Writes states to a changelog topic, many at once, by librdkafka: Faust's own producer makes a task and futures of each.

It blocks, so call it in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException, Producer

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from streams.broker import QUIET, unavailable

# A record that was not delivered by then never is. Shorter than the session of a worker: another one that has the partition by
# then must not find older states behind its own.
DELIVERY_MS = 8_000
FLUSH_SECONDS = 10.0
NOT_STORED = -1
Record = tuple[bytes, bytes]  # a stored key and its state
Report = Callable[[Any, Any], None]  # of an error, or of a message that was stored


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

    def write(self, topic: str, states: Mapping[int, Sequence[Record]]) -> dict[int, int]:
        """Sends states to their partitions and waits for all acknowledgements. Returns the highest offset each partition has got.

        Raises DependencyUnavailable where one was not acknowledged; all may be sent again.
        """
        sent = {partition: _Sent(len(of_partition)) for partition, of_partition in states.items() if of_partition}
        for partition, noting in sent.items():
            self._produce(topic, partition, states[partition], noting)
        left = self._producer.flush(FLUSH_SECONDS)
        lacking = next((why for noting in sent.values() if (why := noting.lacking()) is not None), None)
        if left or lacking is not None:
            self._producer.purge()
            self._producer.flush(FLUSH_SECONDS)
            why = f"{left} records without an answer" if lacking is None else lacking
            raise DependencyUnavailable(
                f"Kafka at {self._settings.kafka} did not take all states", doing=f"writing to {topic}", why=why
            )
        return {partition: noting.last for partition, noting in sent.items()}

    def _produce(self, topic: str, partition: int, states: Sequence[Record], noting: _Sent) -> None:
        """Hands the states of a partition over, waiting where there is no room for them."""
        reports, produce = noting.reports(), self._producer.produce
        try:
            for number, (key, raw) in enumerate(states):
                try:
                    if number in reports:
                        produce(topic, raw, key, partition, on_delivery=reports[number])
                    else:
                        produce(topic, raw, key, partition)  # by place alone: half the time
                except BufferError:
                    self._produce_later(topic, partition, key, raw, reports.get(number))
        except KafkaException as error:
            raise unavailable(self._settings, f"writing to {topic}[{partition}]", error) from error

    def _produce_later(self, topic: str, partition: int, key: bytes, raw: bytes, report: Report | None) -> None:
        """Hands a record over as soon as there is room for it."""
        while True:
            self._producer.poll(0.1)
            try:
                self._producer.produce(topic, raw, key, partition, on_delivery=report)
            except BufferError:
                continue
            return


class _Sent:
    """What became of the records of one partition in one call, from the offsets of the first and of the last.

    Nobody else writes there, and an idempotent producer keeps their order: where as many offsets lie between the two as records
    were sent, none is missing. A report of every record would take the interpreter's lock for each, from a thread that computes.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.first = self.last = NOT_STORED
        self._failed: str | None = None

    def reports(self) -> dict[int, Report]:
        """Who is to be told of which record, counted from 0. Of one alone, it is the last."""
        return {0: self._is_first, self._count - 1: self._is_last}

    def lacking(self) -> str | None:
        """Why not all records are known to be stored; None where they are."""
        if self._failed is not None:
            return self._failed
        first = self.last if self._count == 1 else self.first
        if first != NOT_STORED and self.last == first + self._count - 1:
            return None
        return f"{self._count} records were sent, and offsets {first} to {self.last} acknowledged"

    def _is_first(self, error: Any, message: Any) -> None:
        self.first = self._offset(error, message)

    def _is_last(self, error: Any, message: Any) -> None:
        self.last = self._offset(error, message)

    def _offset(self, error: Any, message: Any) -> int:
        if error is not None:
            self._failed = str(error.str())
            return NOT_STORED
        offset: int | None = message.offset()
        return NOT_STORED if offset is None else offset
