"""What a worker says of itself before it runs, and once its loop stands still."""

from __future__ import annotations

import pytest

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from streams import worker as module
from streams.worker import Worker
from tests.fakes import FakeFillMarks, FakeOnlineStore


@pytest.fixture
def worker() -> Worker:
    return Worker(Settings(), FakeOnlineStore(), FakeFillMarks())


def test_a_worker_whose_loop_stands_still_is_not_alive(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker._alive()[0]
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.0)
    alive, said = worker._alive()
    assert not alive
    assert said["alive"] is False


def test_a_worker_says_why_it_is_not_ready(worker: Worker) -> None:
    assert worker._ready()[1]["why_not"] == ["states are being restored"]
    worker.restored(0)
    assert worker._ready()[1]["why_not"] == ["no partition is assigned"]
    worker._outages["kafka"].failed("somebody", DependencyUnavailable("no answer"))
    assert worker._ready() == (False, worker._ready()[1])
    assert "kafka is away: no answer" in worker._ready()[1]["why_not"]
    worker.lost()
    assert worker._ready()[1]["why_not"][0] == "states are being restored"
    worker._ended.set()
    assert worker._ready()[1]["why_not"][0] == "it stops"


def test_how_long_it_took_to_have_all_states_is_measured(worker: Worker) -> None:
    worker.restored(12)
    text = worker._metrics.text().decode()
    assert "rd360_stream_partitions 12.0" in text
    assert "rd360_stream_restore_seconds" in text
    worker.lost()
    assert "rd360_stream_partitions 0.0" in worker._metrics.text().decode()
