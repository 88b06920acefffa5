"""What a worker does while a server is away, and once it is back: it waits, acknowledges nothing, and goes on."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.clock import system_clock
from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import SALES
from featurestore.online import OnlineStore
from streams.lag import drain, lag
from streams.refill import rebuild_online
from tests.builders import line, receipt
from tests.gate import Gate
from tests.own_servers import Kafka, Valkey, own_place, running
from tests.stream_worker import apart, opened, rows, send, worker
from tests.waiting import until

pytestmark = pytest.mark.stack


def test_a_worker_that_loses_the_online_store_waits_acknowledges_nothing_and_goes_on_when_it_is_back(
    fresh: Settings, fresh_online: OnlineStore, tmp_path: Path
) -> None:
    store, gate = f"gone-{uuid.uuid4().hex[:6]}", Gate(fresh.redis)
    with worker(fresh, tmp_path / "worker.log", RD360_REDIS_ADDRESS=gate.address) as one:
        one.ready()
        send(fresh, SALES, [receipt("r-1", system_clock(), line("fig"), store_id=store)])
        drain(fresh, 60, lambda _: None)
        gate.shut()
        send(fresh, SALES, [receipt("r-2", system_clock(), line("fig"), store_id=store)])
        one.waits()
        assert any("online_store is away" in why for why in json.loads(one.get("/readyz")[1])["why_not"])
        assert one.get("/livez")[0] == 200
        until(lambda: metric(one.get("/metrics")[1], "rd360_stream_waits_total") >= 5, "it tries again")
        assert metric(one.get("/metrics")[1], "rd360_stream_online_store_unavailable_seconds") > 0
        assert sum(x.behind for x in lag(fresh)) == 1
        gate.open()
        drain(fresh, 60, lambda _: None)
        assert one.ready().get("/readyz")[0] == 200
        assert metric(one.get("/metrics")[1], "rd360_stream_online_store_unavailable_seconds") == 0
        assert one.stop() == 0
        said = [line for line in one.log().splitlines() if '"server": "online_store"' in line]
        assert [json.loads(line)["event"] for line in said] == ["waiting.begins", "waiting.ends"]
    assert rows(fresh_online, "sales_rolling", (store, "fig"))[0]["units_1h"] == 2


def test_a_worker_that_waits_ends_when_it_is_asked_to(fresh: Settings, fresh_online: OnlineStore, tmp_path: Path) -> None:
    store, gate = f"gone-{uuid.uuid4().hex[:6]}", Gate(fresh.redis)
    with worker(fresh, tmp_path / "worker.log", RD360_REDIS_ADDRESS=gate.address) as one:
        one.ready()
        gate.shut()
        send(fresh, SALES, [receipt("r-1", system_clock(), line("fig"), store_id=store)])
        one.waits()
        assert one.stop(15) == 0
    assert sum(x.behind for x in lag(fresh)) == 1
    with worker(fresh, tmp_path / "again.log") as one:
        one.ready()
        drain(fresh, 60, lambda _: None)
        assert one.stop() == 0
    assert rows(fresh_online, "sales_rolling", (store, "fig"))[0]["units_1h"] == 1


@pytest.fixture
def valkey(settings: Settings, tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of this test alone."""
    with running(Valkey(own_place(settings, tmp_path / "valkey"))) as server:
        yield server


def test_what_the_online_store_has_lost_is_written_again_while_events_go_on(
    fresh: Settings, valkey: Valkey, tmp_path: Path
) -> None:
    """It is emptied, then killed and replaced by an empty one, then filled on request; the worker runs all the while."""
    own, now = fresh.model_copy(update={"redis_address": valkey.address}), system_clock()
    stores = [f"s-{n}" for n in range(40)]
    first = [receipt(f"a-{s}", now, line("fig"), line("kiwi", 2), store_id=s) for s in stores]
    again = [receipt(f"b-{s}", now + 1, line("fig"), store_id=s) for s in stores[:20]]
    with opened(own) as online, worker(fresh, tmp_path / "worker.log", RD360_REDIS_ADDRESS=valkey.address) as one:
        one.ready()
        send(fresh, SALES, first)
        drain(fresh, 60, lambda _: None)
        full = [(s, p) for s in stores for p in ("fig", "kiwi")]
        assert all(rows(online, "sales_rolling", *full))

        valkey.client.flushall()
        send(fresh, SALES, again)
        drain(fresh, 60, lambda _: None)
        until(lambda: all(rows(online, "sales_rolling", *full)), "all rows are there again")
        assert units(online, stores) == [2] * 20 + [1] * 20

        valkey.kill()
        one.waits()
        valkey.start()
        until(lambda: all(rows(online, "sales_rolling", *full)), "all rows are there again")
        assert units(online, stores) == [2] * 20 + [1] * 20
        one.ready()

        for key in valkey.client.scan_iter(b"*fig*"):
            valkey.client.delete(key)
        report = rebuild_online(own, 60)
        assert report.rows == len(full) + len(stores)
        assert units(online, stores) == [2] * 20 + [1] * 20
        assert one.stop() == 0
    with pytest.raises(DependencyUnavailable, match="worker"):
        rebuild_online(own, 0.5)


@pytest.fixture(scope="module")
def kafka(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka of these tests alone."""
    with running(Kafka(own_place(settings, tmp_path_factory.mktemp("own") / "kafka"))) as server:
        yield server


@pytest.fixture
def on_own_kafka(settings: Settings, kafka: Kafka) -> Settings:
    """Topics of one test alone, on a Kafka that may be killed."""
    return apart(settings.model_copy(update={"kafka_bootstrap": kafka.address}))


def test_a_worker_that_loses_kafka_in_the_middle_of_a_batch_waits_and_goes_on_with_nothing_lost_or_doubled(
    on_own_kafka: Settings, kafka: Kafka, tmp_path: Path
) -> None:
    """For longer than its session lasts: its partitions are assigned anew."""
    settings, now = on_own_kafka, system_clock()
    with opened(settings) as online, worker(settings, tmp_path / "worker.log") as one:
        one.ready()
        events = [receipt(f"r-{n}", now + n, line("fig"), line(f"p-{n % 300}"), store_id=f"s-{n % 7}") for n in range(8_000)]
        send(settings, SALES, events)
        until(lambda: metric(one.get("/metrics")[1], "rd360_stream_events_total") > 500, "it reads")
        kafka.kill()
        until(lambda: any("kafka is away" in why for why in json.loads(one.get("/readyz")[1])["why_not"]), "it says so")
        until(lambda: metric(one.get("/metrics")[1], "rd360_stream_kafka_unavailable_seconds") > 15, "the session is over")
        assert one.get("/livez")[0] == 200
        kafka.start()
        send(settings, SALES, [receipt(f"r-{n}", now + n, line("fig"), store_id=f"s-{n % 7}") for n in range(8_000, 8_100)])
        drain(settings, 90, lambda _: None)
        one.ready()
        found = online.read("sales_rolling", list(online.scan("sales_rolling")))
        assert sum(row["units_1h"] for row in found if row) == 2 * 8_000 + 100
        assert len(one.log()) < 50_000, "the clients do not repeat themselves"
        assert one.stop() == 0


def test_a_worker_that_loses_kafka_before_it_has_begun_to_read_reads_when_it_is_back(
    on_own_kafka: Settings, kafka: Kafka, tmp_path: Path
) -> None:
    """For longer than Faust waits in any step of a start: it would stand still for ever."""
    settings = on_own_kafka
    with opened(settings) as online, worker(settings, tmp_path / "worker.log") as one:
        one.ready()
        kafka.kill()
        until(lambda: metric(one.get("/metrics")[1], "rd360_stream_kafka_unavailable_seconds") > 22, "Faust's waits are over")
        kafka.start()
        send(settings, SALES, [receipt("r-1", system_clock(), line("fig"), store_id="s-1")])
        drain(settings, 90, lambda _: None)
        assert rows(online, "sales_rolling", ("s-1", "fig"))[0]["units_1h"] == 1
        assert one.stop() == 0


def test_a_worker_whose_kafka_is_away_ends_when_it_is_asked_to_and_one_that_starts_then_says_so(
    on_own_kafka: Settings, kafka: Kafka, tmp_path: Path
) -> None:
    with worker(on_own_kafka, tmp_path / "worker.log") as one:
        one.ready()
        kafka.kill()
        one.waits()
        assert one.stop(15) == 0
        assert one.start().process is not None
        assert one.process.wait(90) == 4
    kafka.start()


def units(online: OnlineStore, stores: list[str]) -> list[int]:
    return [row["units_1h"] for row in rows(online, "sales_rolling", *((s, "fig") for s in stores))]


def metric(text: bytes, name: str) -> float:
    """The sum of a metric's series in Prometheus's text format."""
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.decode().splitlines() if line.startswith((f"{name} ", f"{name}{{")))
