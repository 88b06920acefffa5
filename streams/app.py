"""The Faust app: one consumer group, one agent and one table of states for each source topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import faust

from contracts.clock import Clock
from contracts.settings import Settings
from contracts.topics import INVENTORY, PRICES, SALES
from featurestore.online import OnlineStore
from streams import names
from streams.agents import inventory, prices, sales
from streams.agents.reading import Fail
from streams.declare import DEAD_LETTER_BYTES
from streams.flusher import Flusher
from streams.metrics import Metrics
from streams.views import kernels

ATTACH = {SALES: sales.attach, INVENTORY: inventory.attach, PRICES: prices.attach}
TICK_SECONDS = 1.0


def build(
    settings: Settings, online: OnlineStore, metrics: Metrics, clock: Clock, fail: Fail, restored: Callable[[], None]
) -> tuple[faust.App, list[Flusher]]:
    """The app, not started, and its flushers, one a view. `restored` is called each time all states are there again."""
    app = _app(settings)
    writing = asyncio.Lock()
    flushers = [Flusher(app, settings, kernel, online, writing, metrics, clock) for kernel in kernels(settings)]
    for flusher in flushers:
        ATTACH[flusher.kernel.topic](app, flusher, fail)
    app.on_rebalance_complete.connect(_restore(app, flushers, fail, restored))
    app.timer(TICK_SECONDS, name="tick")(_tick(flushers, fail))
    return app, flushers


def _app(settings: Settings) -> faust.App:
    # Faust builds two debug records for each changelog message even where nobody reads them; it halves the throughput
    logging.disable(logging.DEBUG)
    folder = settings.home / "data" / "streams" / names.group(settings)
    folder.mkdir(parents=True, exist_ok=True)
    return faust.App(
        names.group(settings),
        broker=[f"aiokafka://{address}" for address in settings.kafka.split(",")],
        store="rocksdb://",
        datadir=str(folder),
        web_enabled=False,
        topic_allow_declare=False,  # streams.declare makes every topic
        topic_partitions=settings.topic_partitions,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,  # messages in a batch that was not begun are read again
        stream_buffer_maxsize=8_192,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,  # how long a killed worker's partitions wait
        broker_heartbeat_interval=2.0,
        broker_request_timeout=20.0,
        producer_request_timeout=15.0,
        producer_acks=-1,
        producer_max_request_size=DEAD_LETTER_BYTES,
        producer_max_batch_size=256 * 1024,
        producer_linger=0.005,
    )


def _restore(app: faust.App, flushers: list[Flusher], fail: Fail, restored: Callable[[], None]) -> Any:
    async def on_rebalance_complete(*_: Any, **__: Any) -> None:
        try:
            assignment = app.consumer.assignment()
            for flusher in flushers:
                await flusher.restore(sorted(tp.partition for tp in assignment if tp.topic == flusher.source))
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
            fail(error)
        else:
            restored()

    return on_rebalance_complete


def _tick(flushers: list[Flusher], fail: Fail) -> Any:
    async def tick(_: faust.App) -> None:
        try:
            for flusher in flushers:
                await flusher.tick()
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
            fail(error)

    return tick
