"""Kafka and Valkey of a drill's own, on ports and in a folder of their own, to be stopped and started as it likes."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from infra.cli.test import free_offset
from infra.stack.daemon import log_tail, spawn
from infra.stack.place import Place
from infra.stack.processes import end, identify
from infra.stack.services import KAFKA, VALKEY, Service

POLL_SECONDS = 0.1
SHARED = ("venvs", "jars", "bin", "secrets.json")  # of the user's home: read, never written


class Server:
    """One server of the local stack's kind. Its data outlive a stop."""

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
                raise DependencyUnavailable(f"The drill's {self._service.name} did not start", why="\n".join([why, *lines]))
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ends it, as `rd360 down` does."""
        if self._process is None:
            return
        identity = identify(self._process.pid)
        if identity is not None:
            policy = self._service.stop
            end({identity}, {identity}, with_signal=policy.signal, grace=policy.grace, leaders_only=policy.leader_only)
        self._process.wait()
        self._process = None


@dataclass(frozen=True, slots=True)
class Servers:
    """Settings that name the two servers."""

    settings: Settings
    kafka: Server
    valkey: Server


@contextlib.contextmanager
def own_servers(settings: Settings) -> Iterator[Servers]:
    """Both servers, running and empty; they and all they wrote are gone afterwards."""
    home = settings.home / "data" / "drills" / "servers"
    shutil.rmtree(home, ignore_errors=True)  # what an interrupted drill left
    (home / "run").mkdir(parents=True)
    for shared in SHARED:
        (home / shared).symlink_to((settings.home / shared).resolve())
    own = settings.model_copy(
        update={"home": home, "port_offset": free_offset(settings), "kafka_bootstrap": None, "redis_address": None}
    )
    place = Place(own)
    kafka, valkey = Server(KAFKA, place), Server(VALKEY, place)
    try:
        kafka.start()
        valkey.start()
        yield Servers(own, kafka, valkey)
    finally:
        kafka.stop()
        valkey.stop()
        shutil.rmtree(home)
