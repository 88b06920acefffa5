"""Every answered forecast goes to the topic `forecasts`, and through it to the lake. None is dropped in silence.

Appending is a copy into the producer's memory, so it never makes an answer wait for the broker. The memory is bounded: when the
broker is away for so long that it is full, requests are refused (503) instead of being answered without a record. Delivery is
retried without end and in order. What is still in memory when the process is killed is lost; at an orderly end it is flushed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import structlog
from confluent_kafka import KafkaError, KafkaException, Producer

from contracts.errors import DependencyUnavailable
from contracts.events import ForecastServed, encode
from contracts.settings import Settings
from contracts.topics import FORECASTS

CAPACITY = 100_000  # forecasts: about 300 MB of 14-day answers at most, minutes of a broker's restart under full load
FLUSH_SECONDS = 10.0
UNDECLARED = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
_QUIET = logging.getLogger("serving.librdkafka")  # it reports each refused connection; /readyz says it once
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


class ForecastLog(Protocol):
    """Where answered forecasts are recorded."""

    def append(self, forecasts: Sequence[ForecastServed]) -> None:
        """Takes all or none, without waiting. Raises DependencyUnavailable when it has no room."""
        ...

    def tend(self) -> None:
        """Sends again what came back. To be called every second or so."""
        ...

    def trouble(self) -> str | None:
        """What is wrong with delivery; None when nothing is."""
        ...

    def close(self) -> int:
        """Delivers what is left, within a bound; how many were not."""
        ...


class KafkaForecastLog:
    """A ForecastLog on Kafka, with acknowledgement by all replicas."""

    def __init__(self, settings: Settings, capacity: int = CAPACITY) -> None:
        self._topic = FORECASTS.name(settings.topic_prefix)
        self._capacity = capacity
        self._lock = threading.Lock()
        self._returned: list[tuple[bytes, bytes]] = []  # key and value of what came back for a reason that passes
        self._sent = 0  # and not reported on yet; the producer's own length counts its reports of errors too
        self._refused = 0
        self._down: str | None = None
        self._producer = Producer(_producer_config(settings, capacity) | {"error_cb": self._on_error}, logger=_QUIET)

    def append(self, forecasts: Sequence[ForecastServed]) -> None:
        """Takes all or none, without waiting. Raises DependencyUnavailable when it has no room."""
        messages = [(forecast.store_id.encode(), encode(forecast)) for forecast in forecasts]
        with self._lock:
            self._producer.poll(0)  # gives back the room of what was delivered
            if self._waiting() + len(messages) > self._capacity:
                raise self._full()
            try:
                self._send(messages)
            except BufferError as error:  # its bytes, not its messages
                raise self._full() from error

    def tend(self) -> None:
        """Takes reports of delivery, and sends again what came back. Blocks for a moment."""
        if self._returned:
            self._look_again()
        with self._lock:
            again, self._returned = self._returned, []
            self._send(again)
            self._producer.poll(0)

    def trouble(self) -> str | None:
        """What is wrong with delivery; None when nothing is."""
        if self._refused:
            return f"the broker refused {self._refused} forecasts for good: see the log"
        if self._waiting() > self._capacity // 2:
            return f"{self._waiting()} of at most {self._capacity} forecasts wait for the broker"
        return self._down

    def close(self) -> int:
        """Delivers what is left, within FLUSH_SECONDS; how many were not."""
        self.tend()
        with self._lock:
            self._producer.flush(FLUSH_SECONDS)
            left = self._waiting()
        if left:
            structlog.get_logger("serving").error("forecast_log_lost", forecasts=left, topic=self._topic)
        return left

    def _full(self) -> DependencyUnavailable:
        return DependencyUnavailable(
            "The forecast log is full",
            doing="recording the forecasts of this request",
            why=f"Kafka has not taken the last {self._waiting()} forecasts",
            hint="Try again once Kafka answers: `./rd360 status`.",
        )

    def _waiting(self) -> int:
        return self._sent + len(self._returned)

    def _send(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        for key, value in messages:
            try:
                self._producer.produce(self._topic, key=key, value=value, on_delivery=self._on_delivery)
                self._sent += 1
            except KafkaException as error:
                if error.args[0].code() not in UNDECLARED:
                    raise
                self._returned.append((key, value))

    def _look_again(self) -> None:
        try:  # the producer asks by itself for a topic that it missed only every five minutes
            self._producer.list_topics(self._topic, timeout=1)
        except KafkaException as error:
            self._down = f"Kafka: {error.args[0]}"

    def _on_delivery(self, error: Any, message: Any) -> None:
        self._sent -= 1
        if error is None:
            self._down = None
        elif error.code() in UNDECLARED:
            self._down = f"Kafka has no topic {self._topic} yet"
            self._returned.append((message.key(), message.value()))
        else:
            self._refuse(error, message)

    def _refuse(self, error: Any, message: Any) -> None:
        self._refused += 1
        structlog.get_logger("serving").error("forecast_refused", topic=message.topic(), why=str(error))

    def _on_error(self, error: Any) -> None:
        self._down = f"Kafka: {error}"


def _producer_config(settings: Settings, capacity: int) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.kafka,
        "client.id": "rd360-api",
        "partitioner": "murmur2_random",  # the contract's: see contracts/topics.py
        "enable.idempotence": True,  # which means acks=all, in order, each once
        "message.timeout.ms": 0,  # never gives a message up
        "topic.metadata.propagation.max.ms": 2000,  # a topic that is not there comes back to us, and we say so
        "queue.buffering.max.messages": capacity,
        "linger.ms": 20,
        "compression.type": "lz4",
    }
