"""How a drill starts a stream worker, and what it reads from one."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from infra.stack.ports import is_taken
from tests.stream_worker import WorkerProcess

READY_SECONDS = 300.0  # a million states come back from the changelog
POLL_SECONDS = 0.05
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")


class DrillWorker(WorkerProcess):
    """A worker of a drill: it may be killed and started again, and fails the drill clearly where it does not come up."""

    def ready_after(self, seconds: float = READY_SECONDS) -> float:
        """Waits until it is ready; the seconds that took. Raises DependencyUnavailable."""
        started = time.monotonic()
        while not self.is_ready():
            if self.ended() is not None or time.monotonic() - started > seconds:
                raise DependencyUnavailable(
                    "The drill's worker is not ready"
                    if self.ended() is None
                    else f"The drill's worker ended with {self.ended()}",
                    doing="waiting for it",
                    why=self.last_words(),
                )
            time.sleep(POLL_SECONDS)
        return time.monotonic() - started

    def is_ready(self) -> bool:
        """Whether it says so: this process, and not another worker on the port that it wants."""
        return self.get("/readyz")[0] == 200 and self._listens()

    def ended(self) -> int | None:
        """The exit code of a worker that has ended; negative for a signal."""
        return None if self.process is None else self.process.poll()

    def last_words(self) -> str:
        """What it says that it failed with, with the end of the traceback; else the end of its log."""
        failed = [line for line in self.log().splitlines() if '"worker.failed"' in line]
        return (failed or [self.log()])[-1][-1500:]

    def _listens(self) -> bool:
        if self.process is None:
            return False
        try:
            ours = psutil.Process(self.process.pid).net_connections("tcp")
        except psutil.NoSuchProcess:
            return False
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == self._port for one in ours)

    def counted(self, name: str) -> dict[str, float]:
        """One metric by its labels as text, such as `topic="sales"`."""
        found = {}
        for line in self.get("/metrics")[1].decode().splitlines():
            sample = _SAMPLE.match(line)
            if sample and sample[1] == name:
                found[sample[2] or ""] = float(sample[3])
        return found

    def keys(self) -> float:
        """The store × products whose sales it has states of."""
        return self.counted("rd360_stream_keys").get('view="sales_rolling"', 0.0)

    def rows_written(self) -> float:
        """The rows that it has written since its start."""
        return sum(self.counted("rd360_stream_rows_written_total").values())

    def events_taken(self) -> float:
        """The events that it has taken since its start, all that they change written."""
        return sum(self.counted("rd360_stream_events_total").values())


def new_worker(
    settings: Settings,
    folder: Path,
    number: int = 1,
    module: tuple[str, ...] | None = None,
    environment: Mapping[str, str] | None = None,
) -> DrillWorker:
    """A worker, not started. Each number has a local state and a port of its own, so that several share a consumer group."""
    home = folder / f"worker-{number}"
    if not home.exists():
        home.mkdir()
        (home / "secrets.json").symlink_to((settings.home / "secrets.json").resolve())  # Feast's configuration names a password
    moved = settings.model_copy(
        update={
            "home": home,
            "kafka_bootstrap": settings.kafka,
            "redis_address": settings.redis,
            "port_offset": _free_offset(settings, number),
        }
    )
    name = {
        "RD360_WORKER_ID": f"drill-{number}"
    }  # static members: a restart within the session takes its partitions back at once
    worker = DrillWorker(moved, folder / f"worker-{number}.log", **name, **(environment or {}))
    if module is not None:
        worker.module = module
    return worker


def _free_offset(settings: Settings, number: int) -> int:
    """An offset at which a worker's port is free: another drill may run on the same stack."""
    offsets = range(settings.port_offset + number - 1, settings.port_offset + 500, 5)
    port = settings.worker_metrics_port - settings.port_offset + 1  # a WorkerProcess takes the port after that of its settings
    return next(offset for offset in offsets if not is_taken(port + offset))
