"""Servers of the local stack's kinds that one test or drill alone uses, so that it may stop, empty and kill them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from redis import Redis

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from infra.cli.test import free_offset
from infra.stack.daemon import log_tail, spawn
from infra.stack.place import Place
from infra.stack.processes import end, identify
from infra.stack.services import KAFKA, POSTGRES, VALKEY, Service, services

AnyServer = TypeVar("AnyServer", bound="Server")
POLL_SECONDS = 0.1
SHARED = ("venvs", "jars", "bin", "secrets.json")  # of the user's home: read, never written


class Server:
    """One server. What it has on the disk outlives a stop and a kill."""

    def __init__(self, service: Service, place: Place) -> None:
        self._service, self._place = service, place
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it and waits until it answers. Raises DependencyUnavailable."""
        for step in self._service.before:
            step(self._place)
        (command,) = self._service.commands.values()
        self._process = spawn(self._service, command(self._place), self._place)
        deadline = time.monotonic() + self._service.start_seconds
        while why := self._service.ready(self._place.settings):
            if self._process.poll() is not None or time.monotonic() > deadline:
                lines = log_tail(self._place.log(self._service.name), 10)
                raise DependencyUnavailable(f"A {self._service.name} of our own did not start", why="\n".join([why, *lines]))
            time.sleep(POLL_SECONDS)
        for step in self._service.after:
            step(self._place)

    def stop(self) -> None:
        """Ends it as `rd360 down` does, where it runs."""
        if self._process is None:
            return
        identity = identify(self._process.pid)
        if identity is not None:
            policy = self._service.stop
            end({identity}, {identity}, with_signal=policy.signal, grace=policy.grace, leaders_only=policy.leader_only)
        self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Ends it by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)
        self._process = None


class Kafka(Server):
    """A Kafka, at `address`."""

    def __init__(self, place: Place) -> None:
        super().__init__(KAFKA, place)
        self.address = place.settings.kafka


class Valkey(Server):
    """A Valkey, at `address`. It has its rows in memory: a kill takes them, within the minutes until its first snapshot."""

    def __init__(self, place: Place) -> None:
        super().__init__(VALKEY, place)
        self.address = place.settings.redis
        host, port = self.address.rsplit(":", 1)
        self.client = Redis(host=host, port=int(port), socket_timeout=5)


class Postgres(Server):
    """A PostgreSQL with the stack's databases."""

    def __init__(self, place: Place) -> None:
        super().__init__(POSTGRES, place)


class ObjectStore(Server):
    """The S3 store that the settings ask for, with the stack's buckets."""

    def __init__(self, place: Place) -> None:
        super().__init__(services(place.settings)["s3"], place)


def own_place(settings: Settings, home: Path) -> Place:
    """A place for servers in a folder that is made here, on ports that are free, with what is installed in the user's home."""
    (home / "run").mkdir(parents=True)
    for shared in SHARED:
        (home / shared).symlink_to((settings.home / shared).resolve())
    ours = dict.fromkeys(("kafka_bootstrap", "redis_address", "postgres_address", "s3_endpoint"))
    return Place(settings.model_copy(update={"home": home, "port_offset": free_offset(settings), **ours}))


@contextmanager
def running(server: AnyServer) -> Iterator[AnyServer]:
    """A server that runs at first, and is stopped at the end where it still does."""
    server.start()
    try:
        yield server
    finally:
        server.stop()
