"""Servers that one test alone uses, so that it may stop, empty and kill them."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from contracts.settings import Settings, load_settings
from infra.cli.test import free_offset
from infra.stack import kafka, probes
from infra.stack.place import Place
from infra.stack.services import VALKEY
from tests.waiting import until


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class OwnValkey:
    """A Valkey without a log: what it held is gone when it ends. Used as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._program = VALKEY.commands["valkey"](Place(settings))[0]
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.client: Any = Redis(port=self.port, socket_timeout=5)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--save", ""]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._answers, "Valkey answers")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> OwnValkey:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False


class OwnKafka:
    """A Kafka that keeps its data in a folder, so that it may be killed and started again. Used as a context manager."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        folder.mkdir()
        (folder / "jars").symlink_to((settings.home / "jars").resolve())
        self._place = Place(load_settings(home=folder, port_offset=free_offset(settings)))
        self._place.run.mkdir()
        kafka.prepare(self._place)
        self.address = self._place.settings.kafka
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._place.home / "kafka.log").open("ab") as log:
            self._process = subprocess.Popen(kafka.command(self._place), stdout=log, stderr=log)
        until(lambda: probes.kafka(self._place.settings) is None, "Kafka answers")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> OwnKafka:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
