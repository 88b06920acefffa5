"""The API's ports on real servers: features from Valkey, forecasts onto Kafka, and the process that `rd360 serve` is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import requests
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from fastapi.testclient import TestClient
from mlflow import MlflowClient

from contracts.errors import DependencyUnavailable
from contracts.events import ForecastDay, ForecastServed
from contracts.settings import CHECKOUT, Settings
from contracts.topics import FORECASTS, Delivery, accept
from featurestore.online import OnlineStore, open_online_store
from infra.stack.place import settings_environment
from serving.champion import RegisteredChampion
from serving.main import create_app
from serving.prediction_log import KafkaForecastLog
from tests.ports import free_port
from tests.serving_fakes import LEVELS, NOW, PRODUCT, STORE, FakeLog, FakeModels, champion, levels, row, selling
from tests.waiting import until
from training.registry import ModelRegistry
from training.scorer import Manifest, write_manifest

pytestmark = pytest.mark.stack
TOKEN = "of-the-test"
PARTITIONS = 4


@pytest.fixture(scope="module")
def own(settings: Settings) -> Settings:
    """The stack's servers under topics and a Feast project of this test's own."""
    update = {"topic_prefix": f"serving-{uuid.uuid4().hex[:6]}-", "api_token": type(settings.api_token)(TOKEN)}
    return settings.model_copy(update=update)


@pytest.fixture(scope="module")
def topic(own: Settings) -> Iterator[str]:
    name = FORECASTS.name(own.topic_prefix)
    admin = AdminClient({"bootstrap.servers": own.kafka})
    admin.create_topics([NewTopic(name, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})])[name].result()
    yield name
    admin.delete_topics([name])[name].result()


@pytest.fixture(scope="module")
def online(own: Settings) -> Iterator[OnlineStore]:
    store = open_online_store(own)
    store.write("sales_rolling", [selling(), selling("p-002", units_28d=56)])
    store.write("demand_daily", [levels(), levels("p-002")])
    store.write("stock", [row("stock", (STORE, PRODUCT), on_hand=5, counted_ms=NOW)])
    store.write("product", [row("product", (PRODUCT,), pack_size=6, category="dairy")])
    store.write(
        "store", [row("store", (STORE,), lead_time_days=1, review_period_days=1, region="north", time_zone="Europe/London")]
    )
    plan = {"plan_from": [0], "plan_to": [99_999], "plan_price": [150], "plan_list_price": [200], "plan_promoted": [0]}
    store.write("price_plan", [row("price_plan", ("*", PRODUCT), **plan)])
    yield store
    store.close()


def read(settings: Settings, topic: str, count: int) -> list[Any]:
    """The first `count` messages of the topic."""
    group = {"group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": settings.kafka, **group})
    consumer.subscribe([topic])
    messages: list[Any] = []
    try:
        until(lambda: messages.extend(consumer.consume(100, timeout=0.5)) or len(messages) >= count)
    finally:
        consumer.close()
    return messages


def served(event_id: str, store: str = STORE) -> ForecastServed:
    import datetime as dt

    day = ForecastDay(dt.date(2026, 6, 18), 1.5, {"0.5": 1.0})
    return ForecastServed(event_id, NOW, store, PRODUCT, NOW, "demand", "1", None, 3.0, (day,))


def test_an_answer_comes_from_valkey_and_goes_to_kafka_as_the_contract_wants(
    own: Settings, online: OnlineStore, topic: str
) -> None:
    log = KafkaForecastLog(own)
    app = create_app(own, online, FakeModels(champion("5")), log, lambda: NOW, model_seconds=0.05)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with TestClient(app, headers=headers) as client:
        until(lambda: client.get("/readyz").json()["status"] == "ready")
        body = {"store_id": STORE, "product_ids": [PRODUCT, "p-002", "never-sold"]}
        answer = client.post("/v1/forecasts", json=body)
        order = client.post("/v1/replenishment", json={"store_id": STORE, "product_ids": [PRODUCT]}).json()["orders"][0]
    forecasts = answer.json()["forecasts"]
    assert [(f["model_version"], f["fallback"]) for f in forecasts] == [("5", None), ("5", None), ("1", "no_features")]
    assert forecasts[0]["days"][1]["mean"] == pytest.approx(11)
    assert (order["on_hand"], order["pack_size"], order["protection_days"]) == (5, 6, 2)
    assert order["order_packs"] > 0

    assert log.close() == 0
    events = [
        accept(FORECASTS, m.value(), Delivery(m.key(), m.partition(), m.timestamp()[1], PARTITIONS), 0)
        for m in read(own, topic, 4)
    ]
    recorded = [(event.product_id, event.model_version, event.fallback) for event in events]  # type: ignore[union-attr]
    assert recorded == [(PRODUCT, "5", None), ("p-002", "5", None), ("never-sold", "1", "no_features"), (PRODUCT, "5", None)]


def test_a_model_is_taken_from_the_registry_and_exchanged_when_the_alias_moves(
    own: Settings, online: OnlineStore, tmp_path: Path
) -> None:
    registry = ModelRegistry(own, name=f"serving-{uuid.uuid4().hex[:6]}")
    good, foreign = tmp_path / "good", tmp_path / "foreign"
    for folder in (good, foreign):
        folder.mkdir()
    offsets = [[0.0] * len(LEVELS)] * 3
    manifest = Manifest(kind="seasonal_naive", candidate="seasonal_naive", trained_through="2026-06-17", offsets=offsets)
    write_manifest(good, manifest)
    write_manifest(foreign, msgspec.structs.replace(manifest, fingerprint="of-other-inputs"))
    run = MlflowClient(own.mlflow).create_run("0").info.run_id
    app = create_app(own, online, RegisteredChampion(registry), FakeLog(), lambda: NOW, model_seconds=0.1)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        until(lambda: "no champion" in str(client.get("/readyz").json()["checks"]))
        first = registry.register(run, good, {})
        registry.promote(first)
        until(lambda: client.get("/readyz").json()["model_version"] == first)
        registry.promote(registry.register(run, foreign, {}))
        until(lambda: "of-other-inputs" in str(client.get("/readyz").json()["checks"]))
        answer = client.post("/v1/forecasts", json={"store_id": STORE, "product_ids": [PRODUCT]}).json()["forecasts"][0]
        assert (answer["model_version"], answer["fallback"]) == (first, None)
        third = registry.register(run, good, {})
        registry.promote(third)
        until(lambda: client.get("/readyz").json()["model_version"] == third)


def test_the_largest_request_is_answered_within_the_bound_of_a_read(own: Settings, online: OnlineStore) -> None:
    products = [f"many-{n:03}" for n in range(200)]
    online.write("sales_rolling", [selling(product) for product in products])
    online.write("demand_daily", [levels(product) for product in products])
    app = create_app(own, online, FakeModels(champion("5")), FakeLog(), lambda: NOW)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        until(lambda: client.get("/readyz").json()["model_version"] == "5")
        answer = client.post("/v1/forecasts", json={"store_id": STORE, "product_ids": products, "horizon_days": 14})
    assert answer.status_code == 200, answer.text
    assert {f["fallback"] for f in answer.json()["forecasts"]} == {None}


def test_a_valkey_that_is_away_is_a_problem_in_bounded_time(own: Settings, online: OnlineStore) -> None:
    from featurestore.feast_online import FeastOnlineStore

    away = FeastOnlineStore(own.model_copy(update={"redis_address": "127.0.0.1:1"}))
    app = create_app(own, away, FakeModels(champion("5")), FakeLog(), lambda: NOW)
    with TestClient(app, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        begun = time.monotonic()
        answer = client.post("/v1/forecasts", json={"store_id": STORE, "product_ids": [PRODUCT]})
        ready = client.get("/readyz")
        assert time.monotonic() - begun < 30  # the bound is two seconds; the rest is for a busy machine
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")


def test_the_log_never_waits_for_a_broker_that_is_away_and_never_drops_in_silence(own: Settings) -> None:
    log = KafkaForecastLog(own.model_copy(update={"kafka_bootstrap": "127.0.0.1:1"}), capacity=10)
    begun = time.monotonic()
    log.append([served(str(n)) for n in range(8)])
    with pytest.raises(DependencyUnavailable, match="forecast log is full"):
        log.append([served(str(n)) for n in range(3)])  # all or none
    log.append([served("9"), served("10")])
    with pytest.raises(DependencyUnavailable):
        log.append([served("11")])
    assert time.monotonic() - begun < 10  # a broker that is away would make it wait for ever
    until(lambda: len(log._producer) > 10, "the refused connection waits among the producer's reports")
    assert "10 of at most 10 forecasts wait" in (log.trouble() or "")


def test_the_log_delivers_what_it_took_before_the_topic_was_there(own: Settings) -> None:
    later = own.model_copy(update={"topic_prefix": f"later-{uuid.uuid4().hex[:6]}-"})
    log, name = KafkaForecastLog(later), FORECASTS.name(later.topic_prefix)
    log.append([served("early")])
    until(lambda: log.tend() or "has no topic" in (log.trouble() or ""))  # type: ignore[func-returns-value]
    admin = AdminClient({"bootstrap.servers": own.kafka})
    admin.create_topics([NewTopic(name, PARTITIONS)])[name].result()
    try:
        until(lambda: log.tend() or log.trouble() is None)  # type: ignore[func-returns-value]
        assert log.close() == 0
        assert len(read(own, name, 1)) == 1
    finally:
        admin.delete_topics([name])[name].result()


def serve(own: Settings, port: int) -> subprocess.Popen[bytes]:
    """`rd360 serve` as a process of its own, under this test's topics."""
    variables = settings_environment(own) | {"RD360_API_TOKEN": TOKEN, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-m", "infra.cli", "serve", "--port", str(port)]
    return subprocess.Popen(command, env=os.environ | variables, cwd=CHECKOUT, stderr=subprocess.PIPE)


def test_the_process_answers_logs_one_line_a_request_and_ends_with_nothing_lost(own: Settings, online: OnlineStore) -> None:
    own = own.model_copy(update={"topic_prefix": f"{own.topic_prefix}process-"})
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = serve(own, port)
    try:
        until(lambda: process.poll() is not None or alive(address), "the API answers")
        body = {"store_id": STORE, "product_ids": [PRODUCT]}
        answer = requests.post(f"{address}/v1/forecasts", json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
        metrics = requests.get(f"{address}/metrics", timeout=10).text
        process.terminate()
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
        AdminClient({"bootstrap.servers": own.kafka}).delete_topics(topics_of(own))
    assert (answer.status_code, process.returncode) == (200, 0)
    assert 'rd360_http_requests_total{route="/v1/forecasts",status="200"} 1.0' in metrics
    lines = [json.loads(line) for line in stderr.decode().splitlines()]
    [line] = [line for line in lines if line["event"] == "request"]
    assert (line["route"], line["status"], line["products"]) == ("/v1/forecasts", 200, 1)
    assert not [line for line in lines if line["event"] == "forecast_log_lost"]
    assert TOKEN not in stderr.decode()


def test_a_port_that_is_taken_names_its_holder(own: Settings) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        process = serve(own, int(holder.getsockname()[1]))
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 3
    assert f"process {os.getpid()}" in stderr.decode()


def alive(address: str) -> bool:
    try:
        return requests.get(f"{address}/livez", timeout=1).ok
    except requests.RequestException:
        return False


def topics_of(settings: Settings) -> list[str]:
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    return [name for name in admin.list_topics(timeout=10).topics if name.startswith(settings.topic_prefix)]
