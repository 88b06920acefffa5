"""Every answered forecast goes to the topic `forecasts`, and through it to the lake. None is dropped in silence.

Appending is a copy into the producer's memory, so it never makes an answer wait for the broker. The memory is bounded: when the
broker is away for so long that it is full, requests are refused (503) instead of being answered without a record. Delivery is
retried without end and in order. What is still in memory when the process is killed is lost; at an orderly end it is flushed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

import confluent_kafka
import structlog

from contracts.errors import DependencyUnavailable
from contracts.events import ForecastServed, encode
from contracts.settings import Settings
from contracts.topics import FORECASTS

CAPACITY = 100_000  # forecasts: about 300 MB of 14-day answers at most, minutes of a broker's restart under full load
FLUSH_SECONDS = 10.0


class ForecastLog(Protocol):
    """Where answered forecasts are recorded."""

    def append(self, forecasts: Sequence[ForecastServed]) -> None:
        """Takes all or none, without waiting. Raises DependencyUnavailable when it has no room."""
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
        self._refused = 0
        self._down: str | None = None
        self._producer = confluent_kafka.Producer(_producer_config(settings, capacity) | {"error_cb": self._on_error})

    def append(self, forecasts: Sequence[ForecastServed]) -> None:
        """Takes all or none, without waiting. Raises DependencyUnavailable when it has no room."""
        messages = [(forecast.store_id, encode(forecast)) for forecast in forecasts]
        with self._lock:
            self._producer.poll(0)  # gives back the room of what was delivered
            if len(self._producer) + len(messages) > self._capacity:
                raise self._full()
            try:
                for key, value in messages:
                    self._producer.produce(self._topic, key=key, value=value, on_delivery=self._on_delivery)
            except BufferError as error:  # its bytes, not its messages
                raise self._full() from error

    def trouble(self) -> str | None:
        """What is wrong with delivery; None when nothing is."""
        with self._lock:
            self._producer.poll(0)
        if self._refused:
            return f"the broker refused {self._refused} forecasts for good: see the log"
        if len(self._producer) > self._capacity // 2:
            return f"{len(self._producer)} of at most {self._capacity} forecasts wait for the broker"
        return self._down

    def close(self) -> int:
        """Delivers what is left, within FLUSH_SECONDS; how many were not."""
        left = int(self._producer.flush(FLUSH_SECONDS))
        if left:
            structlog.get_logger("serving").error("forecast_log_lost", forecasts=left, topic=self._topic)
        return left

    def _full(self) -> DependencyUnavailable:
        return DependencyUnavailable(
            "The forecast log is full",
            doing="recording the forecasts of this request",
            why=f"Kafka has not taken the last {len(self._producer)} forecasts",
            hint="Try again once Kafka answers: `./rd360 status`.",
        )

    def _on_delivery(self, error: Any, message: Any) -> None:
        if error is None:
            self._down = None
            return
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
        "topic.metadata.propagation.max.ms": 3_600_000,  # nor because the topic is not declared yet; an hour is the most it takes
        "queue.buffering.max.messages": capacity,
        "linger.ms": 20,
        "compression.type": "lz4",
        "log_level": 3,  # errors: what else librdkafka has to say, /readyz says
    }
