"""A stream worker as a process, on topics and online rows of its own: what the tests of the stream start, kill and ask."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contracts.settings import CHECKOUT, Settings, load_settings
from featurestore.online import OnlineStore, open_online_store
from streams.dead_letters import find
from streams.declare import declare
from streams.producers.publish import Publisher
from tests.waiting import until


class WorkerProcess:
    """`rd360 stream worker` as a process of its own."""

    module: tuple[str, ...] = ("infra.cli", "stream", "worker")  # a drill runs it through an entry of its own

    def __init__(self, settings: Settings, log: Path, **environment: str) -> None:
        self.settings, self._log = settings, log
        self._port = settings.worker_metrics_port + 1
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "RD360_HOME": str(settings.home),
            "RD360_PORT_OFFSET": str(settings.port_offset + 1),  # of its own ports: the stack's worker may be running
            "RD360_KAFKA_BOOTSTRAP": settings.kafka,
            "RD360_REDIS_ADDRESS": settings.redis,
            "RD360_TOPIC_PREFIX": settings.topic_prefix,
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> WorkerProcess:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", *self.module]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=CHECKOUT)
        return self

    def ready(self) -> WorkerProcess:
        until(lambda: self._readiness() == 200, "the worker is ready")
        return self

    def waits(self) -> WorkerProcess:
        """Waits until it says that it is not ready; one that has ended is not what was waited for."""
        until(lambda: self._readiness() == 503, "the worker says that it waits")
        return self

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
        except (OSError, http.client.HTTPException):  # it may be killed while it answers
            return 0, b""

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self, seconds: float = 20.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def log(self) -> str:
        return self._log.read_text()

    def _readiness(self) -> int:
        assert self.process is not None
        assert self.process.poll() is None, f"the worker ended: {self.log()[-2000:]}"
        return self.get("/readyz")[0]


@contextlib.contextmanager
def worker(settings: Settings, log: Path, **environment: str) -> Iterator[WorkerProcess]:
    one = WorkerProcess(settings, log, **environment)
    try:
        yield one.start()
    finally:
        if one.process is not None and one.process.poll() is None:
            one.kill()


def apart(settings: Settings) -> Settings:
    """Topics of their own."""
    own: Settings = load_settings(
        **settings.model_dump(exclude={"topic_prefix"}, exclude_unset=True), topic_prefix=f"t{uuid.uuid4().hex[:8]}."
    )
    declare(own)
    return own


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[OnlineStore]:
    """The online rows of a worker on these settings: a topic prefix has a Feast project of its own."""
    store = open_online_store(settings)
    try:
        yield store
    finally:
        store.close()


def send(settings: Settings, topic: Any, events: list[Any]) -> None:
    """Sends events of one topic and waits until the broker has them."""
    with Publisher(settings) as publisher:
        for event in events:
            publisher.publish(topic, event)


def rows(online: OnlineStore, view: str, *keys: tuple[str, str]) -> list[Any]:
    """The online rows of some keys."""
    return online.read(view, list(keys))


def by_reason(settings: Settings) -> dict[str, int]:
    """How many dead letters there are, by reason."""
    counts: dict[str, int] = {}
    for letter in find(settings):
        counts[letter.reason] = counts.get(letter.reason, 0) + 1
    return counts
