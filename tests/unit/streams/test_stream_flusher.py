"""The flusher without Kafka: what it does while a rebalance takes its partitions away."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from aiokafka.errors import IllegalStateError

from contracts.settings import Settings
from streams.flusher import Flusher
from streams.metrics import Metrics
from streams.patience import Outage, Outages, Server
from streams.views import kernels
from tests.builders import NOON
from tests.fakes import FakeOnlineStore


class LostPartition:
    """A consumer from which a partition has been taken, before Faust has said so to anybody."""

    def __init__(self, end: int | None) -> None:
        self._end = end

    def highwater(self, _: Any) -> int:
        assert self._end is not None, "Partition is not assigned"  # as aiokafka has it
        return self._end

    async def position(self, _: Any) -> int:
        raise IllegalStateError("Partition is not assigned")


@pytest.mark.parametrize("end", [None, 7])
def test_a_tick_outlives_a_partition_that_is_taken_away_meanwhile(end: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick() -> None:
        table = SimpleNamespace(data=SimpleNamespace(offset_key=b"", _db_for_partition=lambda _: {}))
        app: Any = SimpleNamespace(Table=lambda *_, **__: table, consumer=LostPartition(end))
        online = FakeOnlineStore()
        metrics = Metrics()
        outages: Outages = {server: Outage(server, metrics.waited) for server in get_args(Server)}
        flusher = Flusher(app, Settings(), kernels(Settings())[0], online, outages, metrics, lambda: NOON)
        monkeypatch.setattr("streams.flusher.IDLE_SECONDS", 0.0)  # asked at once, not only after some quiet
        await flusher.restore([0])
        await flusher.tick()
        assert online.rows == {}

    asyncio.run(tick())
