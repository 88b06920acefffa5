"""Several workers of one group: partitions move when one joins, leaves or is killed, and nothing is lost or counted twice."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.clock import system_clock
from contracts.events import encode
from contracts.settings import Settings
from contracts.topics import SALES
from contracts.windows import StoreCalendars
from featurestore.online import OnlineStore
from streams.lag import drain, lag
from tests.builders import line, receipt
from tests.oracles.rolling import sales_rolling
from tests.ports import free_port
from tests.stream_worker import WorkerProcess, send
from tests.waiting import until

pytestmark = pytest.mark.stack
STORES, PRODUCTS = 12, 5


@pytest.fixture(params=["named", "unnamed"])
def workers(request: pytest.FixtureRequest, fresh: Settings, tmp_path: Path) -> Iterator[tuple[WorkerProcess, WorkerProcess]]:
    """Two workers, not started. Named, they are static members that keep their partitions over a quick restart."""
    both = []
    for name in ("a", "b"):
        home = tmp_path / name
        home.mkdir()
        (home / "secrets.json").symlink_to((fresh.home / "secrets.json").resolve())
        environment = {"RD360_WORKER_PORT": str(free_port()), "RD360_HOME": str(home)}
        if request.param == "named":
            environment |= {"RD360_WORKER_ID": name, "RD360_HOME": str(fresh.home)}
        one = WorkerProcess(fresh, tmp_path / f"{name}.log", **environment)
        one._port = int(environment["RD360_WORKER_PORT"])
        both.append(one)
    yield both[0], both[1]
    for one in both:
        if one.process is not None and one.process.poll() is None:
            one.kill()


def test_partitions_move_on_join_kill_return_and_leave_with_nothing_lost_or_doubled(
    fresh: Settings, fresh_online: OnlineStore, workers: tuple[WorkerProcess, WorkerProcess]
) -> None:
    a, b = workers
    suffix, start = uuid.uuid4().hex[:6], system_clock() - 3_600_000
    sent: list[dict[str, Any]] = []

    def produce(count: int) -> None:
        events = []
        for number in range(len(sent), len(sent) + count):
            lines = (line(f"p-{number % PRODUCTS}"), line(f"p-{number % 3}", 2))
            events.append(receipt(f"r-{number}", start + number * 100, *lines, store_id=f"s-{number % STORES}-{suffix}"))
        sent.extend(_plain(event) for event in events)
        send(fresh, SALES, events)

    a.start().ready()
    produce(3_000)
    b.start()
    until(lambda: partitions(a) == partitions(b) == 6, "each has its half")
    produce(3_000)
    moved(fresh)
    a.kill()
    produce(2_000)
    until(lambda: partitions(b) == 12, "the other one takes over")
    moved(fresh)
    produce(2_000)
    a.start()
    until(lambda: partitions(a) == partitions(b) == 6, "the first one is back, with old local states")
    produce(2_000)
    assert b.stop() == 0
    until(lambda: partitions(a) == 12, "it takes over what was left")
    produce(1_000)
    drain(fresh, 120, lambda _: None)
    check(fresh, fresh_online, sent)
    assert a.stop() == 0


def partitions(one: WorkerProcess) -> int:
    """How many source partitions a worker has that is ready; 0 otherwise."""
    if one.get("/readyz")[0] != 200:
        return 0
    text = one.get("/metrics")[1].decode()
    return sum(int(float(row.split()[1])) for row in text.splitlines() if row.startswith("rd360_stream_partitions "))


def moved(settings: Settings) -> None:
    """Waits until the group has committed more than it had."""
    before = sum(x.committed for x in lag(settings))
    with contextlib.suppress(AssertionError):  # all may have been committed already
        until(lambda: sum(x.committed for x in lag(settings)) > before, "the workers move", 5)


def check(settings: Settings, online: OnlineStore, sent: list[dict[str, Any]]) -> None:
    calendars = StoreCalendars(settings.time_zone)
    keys = sorted({(event["store_id"], one["product_id"]) for event in sent for one in event["lines"]})
    for key, row in zip(keys, online.read("sales_rolling", keys), strict=True):
        assert row is not None, key
        expected = sales_rolling(sent, *key, row["as_of_ms"], calendars.zone(key[0]))
        assert {name: row[name] for name in expected} == expected, key
    assert set(online.scan("sales_rolling")) == set(keys)


def _plain(event: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(encode(event))
    return plain
