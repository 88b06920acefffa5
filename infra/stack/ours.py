"""The two services that are this checkout's own code, both started through the command line: stream worker and HTTP API."""

from __future__ import annotations

import sys

from infra.stack import oneshot
from infra.stack.place import Place


def worker_command(_place: Place) -> list[str]:
    """Starts the stream worker."""
    return rd360("stream", "worker")


def api_command(place: Place) -> list[str]:
    """Starts the HTTP API on loopback."""
    return rd360("serve", "--host", "127.0.0.1", "--port", str(place.settings.port(8000)))


def make_topics(place: Place) -> None:
    """Creates the topics that are missing: the broker makes none by itself."""
    _run(place, "worker", "stream", "topics")


def apply_features(place: Place) -> None:
    """Writes the feature catalogue into the feature store's registry."""
    _run(place, "api", "features", "apply")


def rd360(*arguments: str) -> list[str]:
    """A command line of ours, in this interpreter."""
    return [sys.executable, "-m", "infra.cli", *arguments]


def _run(place: Place, service: str, *arguments: str) -> None:
    oneshot.run(place, service, rd360(*arguments), place.environment(service, ours=True), place.checkout)
