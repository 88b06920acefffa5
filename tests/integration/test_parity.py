"""Parity on real servers: equal after a real worker, and every kind of fault is seen where one is planted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from confluent_kafka import Consumer, TopicPartition
from pyspark.sql import SparkSession

from contracts import tables
from contracts.errors import DataGateError
from contracts.events import Event, encode
from contracts.features import CATALOGUE_FINGERPRINT, SALES_ROLLING, STOCK, VIEWS
from contracts.settings import CHECKOUT, Settings
from contracts.stream_states import worker_group
from contracts.topics import INVENTORY, PRICES, SALES, Topic, partition_of
from featurestore.materialize import BATCH_VIEWS, materialize
from featurestore.online import OnlineStore, open_online_store
from featurestore.project import project_name
from featurestore.registry import apply
from lake.jobs import features, gold
from lake.jobs import parity as job
from lake.parity import Example, ParityReport, compared_columns
from lake.stream_position import committed, late_events
from streams.declare import declare
from streams.lag import drain
from streams.producers.publish import Publisher
from tests.builders import DAY, HOUR, NOON, line, price, receipt, stock
from tests.own_lake import own_lake

pytestmark = pytest.mark.stack
STORES, PRODUCTS = ("s-1", "s-2", "s-3"), ("p-1", "p-2", "p-3")
CATEGORIES = {"p-1": "bread", "p-2": "bread", "p-3": None}
LATER = NOON + 100 * DAY  # of materialization; every event is before


@dataclass(slots=True)
class World:
    """A lake, topics and online rows of this test alone."""

    session: SparkSession
    settings: Settings
    online: OnlineStore

    def parity(self, views: Sequence[str] = tuple(VIEWS), **asked: Any) -> ParityReport:
        return job.run(self.session, self.settings, self.online, views, **asked)


@pytest.fixture(scope="module")
def world(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    tag = uuid.uuid4().hex[:8]
    own = settings.model_copy(update={"topic_prefix": f"parity-{tag}.", "home": tmp_path_factory.mktemp("parity")})
    declare(own)
    send(own, sent())
    with worker(own, settings.home, own.home / "worker.log"), own_lake(settings, f"parity_{tag}") as session:
        drain(own, 120, lambda _lags: None)
        online = open_online_store(own.model_copy(update={"online_read_timeout_ms": 10_000}))
        yield World(session, own, online)
        online.close()


def sent() -> list[tuple[Topic, Event]]:
    """Three weeks of a small chain, with a repeated event, one that is late for all of its products, and one for one of them."""
    events: list[tuple[Topic, Event]] = [(PRICES, price(f"a-{p}", NOON - DAY, product_id=p)) for p in PRODUCTS]
    events.append((PRICES, price("a-own", NOON, 150, product_id="p-1", store_id="s-1", promotion_id="promo")))
    for n in range(160):
        store, at = STORES[n % 3], NOON + n * 3 * HOUR + n * 77_777
        one, other = PRODUCTS[n % 3], PRODUCTS[(n + 1) % 3]
        category = "cake" if n % 40 == 0 else CATEGORIES[one]  # a product can be sold under another one now and then
        basket = [
            line(one, 1 + n % 4, 200 + n, category_id=category),
            line(other, -1 if n % 11 == 0 else 2, 199, category_id=CATEGORIES[other]),
        ]
        events.append((SALES, receipt(f"r-{n}", at, *basket, store_id=store)))
        if n % 8 == 0:
            kind = "count" if n % 16 == 0 else "receipt"
            events += [(INVENTORY, stock(f"i-{n}-{p}", at, kind, n, store, p)) for p in PRODUCTS]
    end = NOON + 20 * DAY
    events.append(next(one for one in events if one[1].event_id == "r-155"))
    events.append((SALES, receipt("late-for-all", end - 10 * DAY, line("p-1", 50), store_id="s-1")))
    events.append((SALES, receipt("late-for-one", end - 10 * DAY, line("p-1", 70), line("p-new", 3), store_id="s-1")))
    return events


def send(settings: Settings, events: list[tuple[Topic, Event]]) -> None:
    with Publisher(settings) as publisher:
        for topic, event in events:
            publisher.send(topic.name(settings.topic_prefix), getattr(event, topic.key_field).encode(), encode(event))
        publisher.flush()


@contextlib.contextmanager
def worker(settings: Settings, home: Path, log: Path) -> Iterator[None]:
    """`rd360 stream worker` on this test's topics until they are drained, with the stack's own secrets."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "RD360_HOME": str(home),
        "RD360_PORT_OFFSET": str(settings.port_offset + 2),  # of its own ports: the stack's worker may be running
        "RD360_KAFKA_BOOTSTRAP": settings.kafka,
        "RD360_REDIS_ADDRESS": settings.redis,
        "RD360_POSTGRES_ADDRESS": settings.postgres,
        "RD360_TOPIC_PREFIX": settings.topic_prefix,
    }
    command = [sys.executable, "-m", "infra.cli", "stream", "worker"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=CHECKOUT)
    try:
        try:
            drain(settings, 120, lambda _lags: None)
        except Exception:
            sys.stderr.write(log.read_text()[-3000:])
            raise
        process.terminate()
        assert process.wait(30) == 0
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def test_what_the_worker_and_the_lake_wrote_is_what_the_lake_recomputes(world: World) -> None:
    apply(world.settings)
    job.take_in(world.session, world.settings, committed(world.settings))
    gold.run(world.session, world.settings)
    features.run(world.session, world.settings)
    materialize(world.settings, BATCH_VIEWS, LATER)

    report = world.parity()

    job.gate(report, list(VIEWS))
    compared = {view.view: view.compared for view in report.views}
    assert compared == {
        "sales_rolling": 7,  # each store sells two of the products, one of them a new one too
        "store_rolling": 3,
        "category_rolling": 6,  # bread and cake in each of them
        "stock": 9,
        "price_plan": 4,
        "demand_daily": 10,
        "product": 4,
        "store": 3,
    }
    assert {(store, product) for _, _, store, product in late_events(world.settings, SALES)} == {("s-1", "p-1")}
    (new,) = world.online.read("sales_rolling", [("s-1", "p-new")])
    assert new is not None
    assert new["units_28d"] == 3  # late for one product of the receipt, in time for the other


def test_offline_rows_of_another_catalogue_are_made_anew(world: World) -> None:
    before = world.session.table(STOCK.table).count()
    world.session.sql(
        f"UPDATE {STOCK.table} SET fingerprint = 'old', on_hand = -1 WHERE store_id = 's-1' AND day(event_time) < 20"
    )

    report = features.run(world.session, world.settings)

    stock_rows = world.session.table(STOCK.table)
    assert (report.rows_in, stock_rows.count()) == (0, before)
    assert stock_rows.where(f"fingerprint <> '{CATALOGUE_FINGERPRINT}' OR on_hand = -1").isEmpty()
    assert features.run(world.session, world.settings).rows_out == 0


def test_every_planted_fault_is_seen(world: World) -> None:
    world_was_equal = world.parity()
    assert all(view.equal for view in world_was_equal.views)
    wrong, stale = rows_of(world, "sales_rolling", ("s-1", "p-2")), rows_of(world, "demand_daily", ("s-2", "p-2"))
    world.online.write(
        "sales_rolling", [wrong | {"units_7d": wrong["units_7d"] + 1, "mean_price_28d": wrong["mean_price_28d"] + 1e-12}]
    )
    world.online.write("demand_daily", [stale | {"days_on_sale": 363}])
    world.online.write("demand_daily", [rows_of(world, "demand_daily", ("s-1", "p-1")) | {"fingerprint": "0" * 16}])
    world.online.write("stock", [rows_of(world, "stock", ("s-1", "p-1")) | {"store_id": "s-9", "source_offset": 10**6}])
    world.online.write("product", [rows_of(world, "product", ("p-1",)) | {"product_id": "p-9"}])
    remove(world.settings, "s-3", "p-3")
    lose(world.settings, receipt("lost", NOON + 21 * DAY, line("p-3", 9, 500, category_id="cake"), store_id="s-2"))

    report = world.parity()

    found = {(view.view, example.kind, example.key, example.feature) for view in report.views for example in view.examples}
    rolling = {name for view, kind, key, name in found if (view, kind, key) == ("sales_rolling", "mismatch", ("s-2", "p-3"))}
    assert {
        "units_1h",
        "units_7d",
        "units_28d",
        "sales_28d",
        "last_price",
        "last_sale_ms",
    } <= rolling  # the lost event, later than the row
    sums = {"store_rolling": ("s-2",), "category_rolling": ("s-2", "cake")}
    of_sums = {name for view, kind, key, name in found if kind == "mismatch" and sums.get(view) == key}
    assert {"store_units_1h", "store_sales_28d", "category_units_1h", "category_sales_28d"} <= of_sums, "missing there too"
    foreign = {one for one in found if (one[0], one[2]) == ("demand_daily", ("s-1", "p-1"))}
    assert {"fingerprint", "days_on_sale"} <= {name for _, kind, _, name in foreign if kind == "mismatch"}, "nothing of it counts"
    lost = {("sales_rolling", ("s-2", "p-3")), *sums.items()}
    assert {one for one in found - foreign if (one[0], one[2]) not in lost} == {
        ("sales_rolling", "mismatch", ("s-1", "p-2"), "units_7d"),
        ("sales_rolling", "mismatch", ("s-1", "p-2"), "mean_price_28d"),
        ("demand_daily", "mismatch", ("s-2", "p-2"), "days_on_sale"),
        ("stock", "extra", ("s-9", "p-1"), ""),
        ("product", "extra", ("p-9",), ""),
        ("sales_rolling", "missing", ("s-3", "p-3"), ""),
        ("stock", "missing", ("s-3", "p-3"), ""),
        ("demand_daily", "missing", ("s-3", "p-3"), ""),
    }
    (seven_days,) = [one for one in examples(report, "sales_rolling") if one.feature == "units_7d" and one.key == ("s-1", "p-2")]
    assert (seven_days.online, seven_days.lake) == (wrong["units_7d"] + 1, wrong["units_7d"])
    with pytest.raises(DataGateError, match=r"sales_rolling: \d+ mismatches, 1 missing, 0 extra"):
        job.gate(report)
    assert recorded(world.settings, report.run_id)["sales_rolling", "units_7d"] == (6, 2, 1, 0)
    assert shown(world.settings, report.run_id, "units_7d", "s-1") == [
        ("mismatch", "p-2", seven_days.as_of_ms, wrong["source_offset"], wrong["units_7d"] + 1, wrong["units_7d"])
    ]
    assert shown(world.settings, report.run_id, "", "s-9") == [
        ("extra", "p-1", examples(report, "stock")[-1].as_of_ms, 10**6, None, None)
    ]
    assert ("missing", "p-3", None, None, None, None) in shown(world.settings, report.run_id, "", "s-3")


def test_a_difference_is_held_to_the_threshold_that_the_run_was_given(world: World) -> None:
    row = rows_of(world, "product", ("p-2",))
    world.online.write("product", [row | {"pack_size": 99}])
    allowed = world.parity(["product"], threshold=0.4)
    refused = world.parity(["product"], threshold=0.1)
    differing = [view.shares["pack_size"] for view in (*allowed.views, *refused.views)]
    world.online.write("product", [row])

    assert differing[0] == differing[1]
    assert 0.1 < differing[0] <= 0.4
    job.gate(allowed)
    with pytest.raises(DataGateError, match=r"product\.pack_size differs in"):
        job.gate(refused)
    assert [judged(world.settings, one.run_id)[1:] for one in (allowed, refused)] == [(0.4, True), (0.1, False)]


def test_each_run_samples_other_keys_and_a_salt_repeats_a_runs_sample(world: World) -> None:
    runs = [world.parity(["sales_rolling", "stock"], share=0.5) for _ in range(2)]
    again = world.parity(["sales_rolling", "stock"], share=0.5, salt=runs[0].sample.salt)
    salts = [judged(world.settings, one.run_id)[0] for one in (*runs, again)]

    assert salts == [runs[0].run_id, runs[1].run_id, runs[0].run_id]
    assert [counts(one) for one in (runs[0], again)] == [counts(runs[0])] * 2


def counts(report: ParityReport) -> list[tuple[int, int, int]]:
    return [(view.compared, view.missing, view.extra) for view in report.views]


def shown(settings: Settings, run_id: str, feature: str, store_id: str) -> list[tuple[Any, ...]]:
    """The examples of a feature in a store, as SQL has them: kind, product, instant, offset, served, recomputed."""
    with psycopg.connect(settings.postgres_url(tables.POSTGRES_DATABASE)) as connection:
        return connection.execute(
            "SELECT kind, entity_key->>'product_id', (extract(epoch FROM as_of) * 1000)::bigint, source_offset,"
            f" served::bigint, recomputed::bigint FROM {tables.MART_PARITY_EXAMPLE}"
            " WHERE run_id = %s AND feature = %s AND entity_key->>'store_id' = %s",
            (run_id, feature, store_id),
        ).fetchall()


def judged(settings: Settings, run_id: str) -> tuple[str, float, bool]:
    with psycopg.connect(settings.postgres_url(tables.POSTGRES_DATABASE)) as connection:
        query = f"SELECT salt, threshold, within_threshold FROM {tables.MART_PARITY_RUN} WHERE run_id = %s"
        ((salt, threshold, within),) = connection.execute(query, (run_id,)).fetchall()
    return salt, threshold, within


def rows_of(world: World, view: str, key: tuple[str, ...]) -> dict[str, object]:
    (row,) = world.online.read(view, [key])
    assert row is not None
    return row


def examples(report: ParityReport, view: str) -> list[Example]:
    return [example for one in report.views if one.view == view for example in one.examples]


def remove(settings: Settings, store_id: str, product_id: str) -> None:
    """Takes all online rows of a store × product away, as an eviction would."""
    host, port = settings.redis.split(":")
    client = redis.Redis(host=host, port=int(port))
    wanted = [
        key
        for key in client.scan_iter(count=10_000)
        if key.endswith(project_name(settings).encode()) and store_id.encode() in key and product_id.encode() in key
    ]
    assert client.delete(*wanted) == 1


def lose(settings: Settings, event: Event) -> None:
    """Sends an event and commits past it as the worker, which never saw it."""
    send(settings, [(SALES, event)])
    place = TopicPartition(SALES.name(settings.topic_prefix), partition_of("s-2", settings.topic_partitions))
    consumer = Consumer({"bootstrap.servers": settings.kafka, "group.id": worker_group(settings), "enable.auto.commit": False})
    place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()


def recorded(settings: Settings, run_id: str) -> dict[tuple[str, str], tuple[int, int, int, int]]:
    with psycopg.connect(settings.postgres_url(tables.POSTGRES_DATABASE)) as connection:
        rows = connection.execute(
            f"SELECT view, feature, compared, mismatches, missing, extra FROM {tables.MART_PARITY} WHERE run_id = %s", (run_id,)
        ).fetchall()
    assert len([row for row in rows if row[0] == SALES_ROLLING.name]) == len(compared_columns(SALES_ROLLING.name))
    return {(row[0], row[1]): tuple(row[2:]) for row in rows}
