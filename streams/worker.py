"""Runs the worker: builds it, serves its health, and ends it on a signal or on the first thing that went wrong."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Any

import structlog
from aiokafka.errors import KafkaError

from contracts.clock import Clock, system_clock
from contracts.errors import DependencyUnavailable, RetailDemandError
from contracts.settings import Settings
from featurestore.online import OnlineStore
from streams.app import build
from streams.declare import declare
from streams.flusher import Flusher
from streams.health import HealthServer
from streams.metrics import Metrics

STOP_SECONDS = 15.0
log = structlog.get_logger("rd360.streams")


class Worker:
    """One worker process. `run` returns when it was asked to stop, and raises what ended it otherwise."""

    def __init__(self, settings: Settings, online: OnlineStore, clock: Clock = system_clock) -> None:
        self._settings, self._online, self._clock = settings, online, clock
        self._metrics = Metrics()
        self._ended = asyncio.Event()
        self._error: BaseException | None = None
        self._restored = False
        self._flushers: list[Flusher] = []

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT. Raises DependencyUnavailable when Kafka or the online store fails: nothing that was
        not written has been acknowledged then, and the next start goes on from there."""
        declare(self._settings)
        self._on_signals()
        _calm_collector()
        app, self._flushers = build(self._settings, self._online, self._metrics, self._clock, self._fail, self._on_restored)
        with HealthServer(self._settings.worker_metrics_port, self._ready, self._metrics.text):
            await self._start(app)
            watch = asyncio.ensure_future(self._watch(app))
            await self._ended.wait()
            watch.cancel()
            await self._stop(app)
        if self._error is not None:
            raise _ours(self._settings, self._error)

    async def _start(self, app: Any) -> None:
        try:
            await app.start()
        except KafkaError as error:
            raise _ours(self._settings, error) from error

    async def _watch(self, app: Any) -> None:
        """Ends the worker where Faust itself has ended."""
        await app.wait_until_stopped()
        self._fail(app.crash_reason or RuntimeError("Faust stopped by itself"))

    async def _stop(self, app: Any) -> None:
        """Lets the flushes under way finish, then commits and leaves the group; bounded."""
        self._restored = False
        try:
            async with asyncio.timeout(STOP_SECONDS):
                if self._error is None:
                    for flusher in self._flushers:
                        await flusher.lock.acquire()
                await app.stop()
        except TimeoutError:
            log.warning("stop.unfinished", seconds=STOP_SECONDS)
        log.info("worker.stopped", error=None if self._error is None else str(self._error))

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            log.error("worker.failed", error=str(error), kind=type(error).__name__)
        self._ended.set()

    def _on_restored(self) -> None:
        self._restored = True
        log.info("worker.ready", keys={flusher.kernel.view.name: flusher.keys for flusher in self._flushers})

    def _ready(self) -> tuple[bool, dict[str, Any]]:
        views = {f.kernel.view.name: {"keys": f.keys, "watermark_lag_seconds": f.lag_seconds()} for f in self._flushers}
        return self._restored, {"ready": self._restored, "views": views}

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._ended.set)


def _calm_collector() -> None:
    """Makes whole passes of the garbage collector rare: each walks over all cached states, which are no cycles."""
    gc.freeze()  # the libraries stay
    gc.set_threshold(700, 10, 1000)  # the oldest generation every 1,000 passes instead of 10, which took a third of the time


def _ours(settings: Settings, error: BaseException) -> BaseException:
    if isinstance(error, RetailDemandError) or not isinstance(error, (KafkaError, OSError)):
        return error
    return DependencyUnavailable(
        f"Kafka at {settings.kafka} failed", doing="running the stream worker", why=f"{type(error).__name__}: {error}"
    )
