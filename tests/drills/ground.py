"""Where a drill takes place: topics, a consumer group, online rows and a folder of its own, all gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

from contracts.settings import Settings
from featurestore.repo import project_name
from streams.broker import TIMEOUT_SECONDS, connect
from streams.declare import wanted
from tests.stream_worker import apart

CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Ground:
    """Settings with a topic prefix of their own, and a folder for logs, workers' states and what was sent."""

    settings: Settings
    folder: Path


@contextlib.contextmanager
def ground(settings: Settings) -> Iterator[Ground]:
    """A ground on running servers. Raises DependencyUnavailable without them."""
    own = apart(settings)
    folder = own.home / "data" / "drills" / own.topic_prefix.strip(".")
    folder.mkdir(parents=True)
    try:
        yield Ground(own, folder)
    finally:
        shutil.rmtree(folder)
        clear(own)


def clear(settings: Settings) -> None:
    """Removes the topics and the online rows of a topic prefix."""
    admin = connect(settings)  # the answers come only while it lives
    for future in admin.delete_topics([topic.name for topic in wanted(settings)]).values():
        future.result(TIMEOUT_SECONDS)
    host, port = settings.redis.rsplit(":", 1)
    with Redis(host=host, port=int(port)) as client:
        chunk: list[bytes] = []
        for key in client.scan_iter(match=b"*" + project_name(settings).encode(), count=CHUNK):
            chunk.append(key)
            if len(chunk) == CHUNK:
                client.unlink(*chunk)
                chunk = []
        if chunk:
            client.unlink(*chunk)
