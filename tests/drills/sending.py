"""Sends a drill's messages in the order of their arrival."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.settings import Settings
from streams.producers.publish import Publisher
from tests.drills.arrival import Sent


def send_all(settings: Settings, sent: Iterable[Sent]) -> None:
    """Sends them and waits until the broker has all. Raises DependencyUnavailable."""
    with Publisher(settings, client_id="rd360-drill") as publisher:
        for one in sent:
            publisher.send(one.topic.name(settings.topic_prefix), one.key, one.value)
