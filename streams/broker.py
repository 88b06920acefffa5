"""The adapter to Kafka's client library: connections that fail clearly, and its errors as ours."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings

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
