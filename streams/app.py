"""The Faust app: one consumer group, one agent and one table of states for each source topic."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import faust

from contracts.clock import Clock
from contracts.settings import Settings
from contracts.topics import INVENTORY, PRICES, SALES
from featurestore.fill import FillMarks
from featurestore.online import OnlineWriter
from streams import names
from streams.agents import inventory, prices, sales
from streams.agents.reading import Fail
from streams.flusher import Flusher
from streams.kafka_client import (
    deliver_at_once,
    go_back_to_the_first,
    never_give_recovery_up,
    never_look_for_standstills,
    never_note_ends,
    seek_before_anything_is_delivered,
)
from streams.kernels import kernels
from streams.metrics import Metrics
from streams.patience import GivenUp, Outages
from streams.polls import hand_on_polls
from streams.refill import Refill
from streams.stale import state_folder

ATTACH = {SALES: sales.attach, INVENTORY: inventory.attach, PRICES: prices.attach}
TICK_SECONDS = 1.0
WAITING_MESSAGES = 32_000  # in polls that wait for their agent, at most
LEAST_POLLS = 32  # for which there is room


class Watcher(Protocol):
    """Who is told how the app fares."""

    def fail(self, error: BaseException) -> None:
        """Nothing can go on after this error."""
        ...

    def lost(self) -> None:
        """The partitions are given up; others will be restored."""
        ...

    def restored(self, partitions: int) -> None:
        """All states of the assigned partitions are there."""
        ...


def build(
    settings: Settings,
    online: OnlineWriter,
    marks: FillMarks,
    outages: Outages,
    metrics: Metrics,
    clock: Clock,
    watcher: Watcher,
) -> tuple[faust.App, list[Flusher]]:
    """The app, not started, and its flushers, one a view."""
    app = _app(settings)
    flushers = [Flusher(app, settings, kernel, online, outages, metrics, clock) for kernel in kernels(settings)]
    for flusher in flushers:
        ATTACH[flusher.kernel.topic](app, flusher, watcher.fail)
    never_give_recovery_up(app)
    sources = [topic for flusher in flushers for topic in (flusher.source, flusher.rebuilt)]
    go_back_to_the_first(app, sources)
    seek_before_anything_is_delivered(app)
    hand_on_polls(app, sources, [names.changelog(settings, flusher.kernel.view) for flusher in flushers])
    deliver_at_once(app)
    never_look_for_standstills(app)
    never_note_ends(app)
    app.on_partitions_revoked.connect(_leave(flushers, watcher))
    refill = Refill(flushers, marks, outages["online_store"], metrics)
    app.on_rebalance_complete.connect(_restore(app, flushers, refill, watcher))
    app.timer(TICK_SECONDS, name="tick")(_tick(flushers, watcher.fail))
    app.timer(TICK_SECONDS, name="refill")(_refill(refill, watcher.fail))
    return app, flushers


def _app(settings: Settings) -> faust.App:
    # Faust builds two debug records for each changelog message even where nobody reads them; it halves the throughput
    logging.disable(logging.DEBUG)
    folder = state_folder(settings, names.group(settings)) / (settings.worker_id or "worker")
    folder.mkdir(parents=True, exist_ok=True)
    polls = max(LEAST_POLLS, 4 * settings.topic_partitions)  # where messages come singly, each partition has one
    return faust.App(
        names.group(settings),
        broker=[f"aiokafka://{address}" for address in settings.kafka.split(",")],
        consumer_group_instance_id=names.member(settings),
        store="rocksdb://",
        table_standby_replicas=0,  # a copy on another worker would cost each of them the other's writes
        datadir=str(folder),
        web_enabled=False,
        topic_allow_declare=False,  # streams.declare makes every topic
        topic_partitions=settings.topic_partitions,
        consumer_auto_offset_reset="earliest",
        # A group that forms just after the broker came back sees no topics and assigns none: seen anew, they are assigned.
        consumer_metadata_max_age_ms=10_000,
        stream_wait_empty=False,  # messages in a batch that was not begun are read again
        broker_max_poll_records=WAITING_MESSAGES // polls,
        stream_buffer_maxsize=polls,
        broker_commit_interval=1.0,
        broker_session_timeout=10.0,  # how long a killed worker's partitions wait
        broker_heartbeat_interval=2.0,
        broker_request_timeout=20.0,
        broker_max_poll_interval=7 * 86_400.0,  # a consumer that waits for the online store stays in its group
        producer_request_timeout=15.0,
        producer_acks=-1,
        producer_compression_type="zstd",
        producer_max_request_size=2**31 - 1,  # counts what is not compressed yet, of which Kafka has no limit; this is a record's
        producer_max_batch_size=256 * 1024,
        producer_linger=0.005,
    )


def _leave(flushers: list[Flusher], watcher: Watcher) -> Any:
    async def on_partitions_revoked(*_: Any, **__: Any) -> None:
        watcher.lost()
        for flusher in flushers:
            await flusher.leave()

    return on_partitions_revoked


def _restore(app: faust.App, flushers: list[Flusher], refill: Refill, watcher: Watcher) -> Any:
    async def on_rebalance_complete(*_: Any, **__: Any) -> None:
        try:
            consumer: Any = app.consumer  # its interface leaves this out
            committed = await consumer.seek_to_committed() if consumer.assignment() else {}
            for flusher in flushers:
                own = sorted((tp.partition, offset or 0) for tp, offset in committed.items() if tp.topic == flusher.source)
                await flusher.restore(dict(own))
            await refill.check(blank_only=True)
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
            watcher.fail(error)
        else:
            watcher.restored(sum(len(flusher.assigned) for flusher in flushers))

    return on_rebalance_complete


def _tick(flushers: list[Flusher], fail: Fail) -> Any:
    async def tick(_: faust.App) -> None:
        try:
            for flusher in flushers:
                await flusher.tick()
        except GivenUp:
            return  # the partitions have gone to another worker, or this one stops
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
            fail(error)

    return tick


def _refill(refill: Refill, fail: Fail) -> Any:
    async def check(_: faust.App) -> None:
        try:
            await refill.check()
        except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
            fail(error)

    return check
