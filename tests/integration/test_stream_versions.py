"""A worker of another catalogue or layout: it builds everything anew, and what the old one left can be removed."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from contracts import stream_states
from contracts.clock import system_clock
from contracts.settings import Settings
from contracts.stream_states import worker_group
from contracts.topics import SALES
from featurestore.definitions import FEATURE_VIEWS
from featurestore.online import OnlineStore
from streams.declare import declare
from streams.lag import drain
from streams.stale import find_stale, remove
from tests.another_version import FINGERPRINT, LAYOUT
from tests.builders import line, receipt
from tests.stream_worker import WorkerProcess, opened, rows, send, worker
from tests.waiting import until

pytestmark = pytest.mark.stack


def test_another_version_builds_everything_anew_and_what_the_old_one_left_can_be_removed(
    fresh: Settings, fresh_online: OnlineStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, now = f"s-{uuid.uuid4().hex[:6]}", system_clock()
    old_group = worker_group(fresh)
    with worker(fresh, tmp_path / "old.log") as one:
        one.ready()
        send(fresh, SALES, [receipt(f"r-{n}", now + n, line("fig"), store_id=store) for n in range(30)])
        drain(fresh, 60, lambda _: None)
        assert one.stop() == 0
    (row,) = rows(fresh_online, "sales_rolling", (store, "fig"))
    assert row["units_1h"] == 30
    old_fingerprint = row["fingerprint"]

    monkeypatch.setitem(stream_states.STATE_LAYOUT, "sales", LAYOUT)
    assert worker_group(fresh) != old_group
    declare(fresh)
    other = WorkerProcess(fresh, tmp_path / "new.log")
    other.module = ("tests.another_version", "stream", "worker")
    try:
        other.start().ready()
        send(fresh, SALES, [receipt("r-30", now + 30, line("fig"), store_id=store)])
        drain(fresh, 60, lambda _: None)
        (row,) = rows(fresh_online, "sales_rolling", (store, "fig"))
        assert row["fingerprint"] == FINGERPRINT != old_fingerprint
        assert row["units_1h"] is None, "where a value stands in a row of another catalogue is not known"
        monkeypatch.setitem(FEATURE_VIEWS["sales_rolling"].tags, "fingerprint", FINGERPRINT)
        with opened(fresh) as of_other:
            (row,) = rows(of_other, "sales_rolling", (store, "fig"))
        assert row["units_1h"] == 31, "as if the old one had never been"
        found = find_stale(fresh)
        assert {one.kind for one in found} == {"topic", "group", "folder"}
        assert not any(one.in_use for one in found)
        remove(fresh, found)
        until(lambda: not find_stale(fresh), "it is gone")
        send(fresh, SALES, [receipt("r-31", now + 31, line("fig"), store_id=store)])
        drain(fresh, 60, lambda _: None)
        assert other.stop() == 0
    finally:
        if other.process is not None and other.process.poll() is None:
            other.kill()
    with opened(fresh) as of_other:
        assert rows(of_other, "sales_rolling", (store, "fig"))[0]["units_1h"] == 32


def test_what_a_running_worker_uses_stays(fresh: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with worker(fresh, tmp_path / "worker.log") as one:
        one.ready()
        monkeypatch.setitem(stream_states.STATE_LAYOUT, "sales", LAYOUT)
        found = until(lambda: [x for x in find_stale(fresh) if x.in_use] and find_stale(fresh), "the group is seen")
        assert all(x.in_use for x in found)
        assert remove(fresh, found) == []
        assert one.stop() == 0
