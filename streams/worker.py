"""Runs the worker: builds it, serves its health, and ends it on a signal or on the first thing that went wrong."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any, get_args

import structlog
from aiokafka.errors import KafkaError

from contracts.clock import Clock, system_clock
from contracts.errors import DependencyUnavailable, RetailDemandError
from contracts.settings import Settings
from featurestore.fill import FillMarks
from featurestore.online import OnlineWriter
from streams import memory
from streams.app import build
from streams.declare import declare
from streams.flusher import Flusher
from streams.health import HealthServer
from streams.kafka_client import coordinator_lost, say_less
from streams.metrics import Metrics
from streams.patience import Outage, Outages, Server
from streams.threads import in_thread

STOP_SECONDS = 15.0
STOP_SECONDS_WITHOUT_KAFKA = 2.0  # there is nobody to commit to
PULSE_SECONDS = 1.0
LOST_PULSES = 2  # a group that forms, or moves to another broker, has no coordinator for a moment
STUCK_SECONDS = 30.0  # an event loop that has not turned for so long: the heaviest batch holds it for some seconds
SWITCH_SECONDS = 0.002  # a thread that writes comes back from each call of the system so soon, not after Python's 5 ms
log = structlog.get_logger("rd360.streams")


class Worker:
    """One worker process. `run` returns when it was asked to stop, and raises what ended it otherwise."""

    def __init__(self, settings: Settings, online: OnlineWriter, marks: FillMarks, clock: Clock = system_clock) -> None:
        self._settings, self._online, self._marks, self._clock = settings, online, marks, clock
        self._metrics = Metrics()
        self._ended = asyncio.Event()
        self._error: BaseException | None = None
        self._flushers: list[Flusher] = []
        self._beat_at = time.monotonic()
        self._restoring_since: float | None = time.monotonic()
        self._outages: Outages = {server: Outage(server, self._metrics.waited) for server in get_args(Server)}

    async def run(self) -> None:
        """Runs until SIGTERM or SIGINT. Raises DependencyUnavailable when a server is not there at the start; one that goes away
        later is waited for, and nothing that was not written is acknowledged meanwhile."""
        declare(self._settings)
        self._on_signals()
        memory.calm()
        sys.setswitchinterval(SWITCH_SECONDS)
        say_less()
        app, self._flushers = build(self._settings, self._online, self._marks, self._outages, self._metrics, self._clock, self)
        with HealthServer(self._settings.worker_metrics_port, self._alive, self._ready, self._metrics.text):
            # Faust has started once all states are restored: it may be asked to stop before, and Kafka may go away before
            tasks = [asyncio.create_task(self._or_fail(step)) for step in (self._start_and_watch(app), self._pulse(app))]
            await self._ended.wait()
            for task in tasks:
                task.cancel()
            await self._stop(app)
        if self._error is not None:
            raise _ours(self._settings, self._error)

    async def _or_fail(self, step: Coroutine[Any, Any, None]) -> None:
        """Ends the worker with what a step raises."""
        try:
            await step
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
            self.fail(error)

    async def _start_and_watch(self, app: Any) -> None:
        """Raises why Faust does not start, and ends the worker where Faust has ended by itself."""
        for flusher in self._flushers:
            await in_thread(flusher.kernel.compile)
        await app.start()
        await app.wait_until_stopped()
        self.fail(app.crash_reason or RuntimeError("Faust stopped by itself"))

    async def _pulse(self, app: Any) -> None:
        """Beats for /livez, and looks whether Kafka is there. No timer of Faust's: these stand still while it waits for Kafka."""
        outage, pulses_lost = self._outages["kafka"], 0
        while True:
            self._beat_at = time.monotonic()
            lost = coordinator_lost(app)
            pulses_lost = 0 if lost is None else pulses_lost + 1
            if lost is None:
                outage.over(self)
            elif pulses_lost > LOST_PULSES:
                outage.failed(self, lost)
            await asyncio.sleep(PULSE_SECONDS)

    async def _stop(self, app: Any) -> None:
        """Lets the flushes under way finish, then commits and leaves the group; bounded."""
        self.lost()
        for flusher in self._flushers:
            flusher.give_up()
        seconds = STOP_SECONDS if self._outages["kafka"].reason is None else STOP_SECONDS_WITHOUT_KAFKA
        try:
            async with asyncio.timeout(seconds):
                if self._error is None:
                    for flusher in self._flushers:
                        await flusher.hold()
                await app.stop()
        except TimeoutError:
            log.warning("stop.unfinished", seconds=seconds)
        log.info("worker.stopped", error=None if self._error is None else str(self._error))

    def fail(self, error: BaseException) -> None:
        """Ends the worker with an error; the first one counts."""
        if self._error is None:
            self._error = error
            log.error("worker.failed", error=str(error), kind=type(error).__name__, exc_info=error)
        self._ended.set()

    def lost(self) -> None:
        """Notes that there are no states now."""
        self._metrics.lost()
        self._restoring_since = time.monotonic()

    def restored(self, partitions: int) -> None:
        """Notes that all states are there."""
        seconds = time.monotonic() - (self._restoring_since or time.monotonic())
        self._restoring_since = None
        self._metrics.restored(partitions, seconds)
        keys = {flusher.kernel.view.name: flusher.keys for flusher in self._flushers}
        log.info("worker.ready", partitions=partitions, keys=keys, seconds=round(seconds, 1))

    def _alive(self) -> tuple[bool, dict[str, Any]]:
        silent = time.monotonic() - self._beat_at
        return silent < STUCK_SECONDS, {"alive": silent < STUCK_SECONDS, "silent_seconds": round(silent, 1)}

    def _ready(self) -> tuple[bool, dict[str, Any]]:
        why = ["it stops" if self._ended.is_set() else "states are being restored"] if self._restoring_since is not None else []
        if not why and not any(flusher.assigned for flusher in self._flushers):
            why.append("no partition is assigned")
        why += [f"{o.server} is away: {o.reason}" for o in self._outages.values() if o.reason is not None]
        views = {f.kernel.view.name: {"keys": f.keys, "watermark_lag_seconds": f.lag_seconds()} for f in self._flushers}
        return not why, {"ready": not why, "why_not": why, "views": views}

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._ended.set)


def _ours(settings: Settings, error: BaseException) -> BaseException:
    if isinstance(error, RetailDemandError) or not isinstance(error, (KafkaError, OSError)):
        return error
    return DependencyUnavailable(
        f"Kafka at {settings.kafka} failed", doing="running the stream worker", why=f"{type(error).__name__}: {error}"
    )
