"""A till system of somebody else, written from docs/events.md and docs/schemas alone: what it sends is counted in every place.

It knows plain Kafka and JSON, numbers its receipts per store, and sends each line of a receipt as a message of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from confluent_kafka import Producer
from jsonschema import Draft202012Validator

from contracts.settings import CHECKOUT, Settings
from contracts.tables import BRONZE_EVENTS, GOLD_DAILY, SILVER_DUPLICATES, SILVER_QUARANTINE, SILVER_SALES
from contracts.topics import SALES
from featurestore.offline import open_offline_store
from featurestore.online import open_online_store
from infra.api_client import Api
from infra.demo.commands import Commands
from infra.demo.measure import end_offsets

pytestmark = pytest.mark.stack
HOUR_MS = 3_600_000
RECEIPTS, PRODUCTS = 60, ("cola", "bread")
BROKEN = b'{"event_id": "half a receipt'


@dataclass(frozen=True, slots=True)
class Till:
    """What two shops' tills sent."""

    stores: tuple[str, str]
    units: dict[tuple[str, str], int]  # by store × product
    cents: int
    messages: int
    repeated: int
    broken: int


@pytest.fixture(scope="module")
def till(settings: Settings) -> Till:
    schema = Draft202012Validator(json.loads((CHECKOUT / "docs/schemas/sales.json").read_text()))
    tag = uuid.uuid4().hex[:6]
    stores = (f"north-{tag}", f"south-{tag}")
    first = int(time.time() * 1000) - RECEIPTS * HOUR_MS  # the last one is an hour old
    sent: list[tuple[str, bytes]] = []
    units = dict.fromkeys(((store, product) for store in stores for product in PRODUCTS), 0)
    cents = 0
    for number in range(RECEIPTS):
        for store in stores:
            for product, price in zip(PRODUCTS, (150, 280), strict=True):
                quantity = -1 if number % 20 == 19 else 1 + number % 3
                line = {"product_id": product, "quantity": quantity, "unit_price": price}
                receipt = {
                    "event_id": f"{number:06d}",
                    "event_time": first + number * HOUR_MS,
                    "store_id": store,
                    "channel": "pos",
                }
                schema.validate(receipt | {"lines": [line]})
                sent.append((store, json.dumps(receipt | {"lines": [line]}).encode()))
                units[store, product] += max(quantity, 0)
                cents += quantity * price
    repeated = sent[::15]
    _send(settings, [*sent, *repeated, *((store, BROKEN) for store in stores)])
    return Till(stores, units, cents, len(sent) + len(repeated) + len(stores), len(repeated), len(stores))


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("e2e") / "commands.log", print)


@pytest.fixture(scope="module")
def dead_letters(commands: Commands, till: Till) -> list[dict[str, Any]]:
    """The dead letters of the tills, once the worker has read all that they sent."""
    commands.run("stream", "drain", "--json")
    letters: list[dict[str, Any]] = commands.run("stream", "dlq", "list", "--limit", "1000", "--json")["letters"]
    return [letter for letter in letters if letter["key"] in till.stores]


@pytest.fixture(scope="module")
def archived(commands: Commands, dead_letters: list[dict[str, Any]]) -> None:
    commands.run("lake", "run", "--json")
    commands.run("features", "materialize", "--json")


def test_the_example_of_the_documentation_runs_as_it_stands(settings: Settings) -> None:
    (code,) = re.findall(r"## A producer, complete\n```python\n(.*?)```", (CHECKOUT / "docs/events.md").read_text(), re.DOTALL)
    before = end_of_sales(settings)

    subprocess.run([sys.executable, "-I", "-c", code.replace("127.0.0.1:9092", settings.kafka)], check=True, timeout=60)

    assert end_of_sales(settings) == before + 1


def test_the_live_features_have_all_of_it(settings: Settings, till: Till, dead_letters: list[dict[str, Any]]) -> None:
    store = open_online_store(settings)
    rows = store.read("sales_rolling", list(till.units))
    store.close()
    answer = Api(settings).post("/v1/forecasts", {"store_id": till.stores[0], "product_ids": list(PRODUCTS)})

    assert [row and row["units_28d"] for row in rows] == list(till.units.values())
    assert all(one["feature_age_seconds"] < 2 * HOUR_MS / 1000 for one in answer["forecasts"])
    assert all(one["fallback"] in (None, "no_model") for one in answer["forecasts"])


def test_what_is_broken_is_a_dead_letter_with_its_bytes(till: Till, dead_letters: list[dict[str, Any]]) -> None:
    assert sorted(letter["key"] for letter in dead_letters) == sorted(till.stores)
    assert {letter["reason"] for letter in dead_letters} == {"not_json"}
    assert {letter["value"] for letter in dead_letters} == {BROKEN.decode()}


def test_the_archive_has_every_message_and_every_cent(settings: Settings, till: Till, archived: None) -> None:
    lake = open_offline_store(settings)
    of_sales = f"topic = '{SALES.name(settings.topic_prefix)}'"
    keys = lake.read_table(BRONZE_EVENTS, ["key"], of_sales)["key"].to_pylist()
    of_ours = " or ".join(f"store_id = '{store}'" for store in till.stores)
    silver = lake.read_table(SILVER_SALES, ["quantity", "unit_price", "topic", "partition", "offset"], of_ours).to_pylist()
    gold = lake.read_table(GOLD_DAILY, ["store_id", "product_id", "units"], of_ours).to_pylist()
    refused = [row for row in lake.read_table(SILVER_QUARANTINE, ["raw"]).to_pylist() if row["raw"] == BROKEN]
    ids = {f"{number:06d}" for number in range(RECEIPTS)}
    again = [row for row in lake.read_table(SILVER_DUPLICATES, ["event_id"]).to_pylist() if row["event_id"] in ids]
    lake.close()

    assert sum(key is not None and key.decode() in till.stores for key in keys) == till.messages
    assert (len(silver), len(again), len(refused)) == (till.messages - till.repeated - till.broken, till.repeated, till.broken)
    assert sum(row["quantity"] * row["unit_price"] for row in silver) == till.cents
    for (store, product), units in till.units.items():
        assert sum(row["units"] for row in gold if (row["store_id"], row["product_id"]) == (store, product)) == units


def test_live_and_archive_agree_on_it(commands: Commands, till: Till, archived: None) -> None:
    report = commands.run("features", "parity", "--json")

    (rolling,) = [view for view in report["views"] if view["view"] == "sales_rolling"]
    assert rolling["compared"] >= len(till.units)
    assert (report["feature_mismatches"], report["missing"], report["extra"]) == (0, 0, 0)


def test_a_receipt_that_comes_days_late_is_set_aside_and_the_archive_brings_it_back(
    settings: Settings, commands: Commands, till: Till, archived: None
) -> None:
    key = (till.stores[0], "cola")
    late = {"event_id": "late", "event_time": int(time.time() * 1000) - 5 * 24 * HOUR_MS, "store_id": key[0], "channel": "pos"}
    late["lines"] = [{"product_id": key[1], "quantity": 7, "unit_price": 150}]
    _send(settings, [(key[0], json.dumps(late).encode())])
    commands.run("stream", "drain", "--json")
    assert units_28d(settings, key) == till.units[key], "too late for the stream"

    healed = {view["view"]: view for view in commands.run("features", "rebuild", "--json")}["sales_rolling"]

    assert (healed["keys"], healed["healed"], healed["moved_on"]) == (healed["keys"], healed["keys"], [])
    assert units_28d(settings, key) == till.units[key] + 7
    report = commands.run("features", "parity", "--json")
    assert (report["feature_mismatches"], report["missing"], report["extra"]) == (0, 0, 0)
    again = {view["view"]: view for view in commands.run("features", "rebuild", "--json")}["sales_rolling"]
    assert (again["late_events"], again["keys"]) == (0, 0), "nothing is left to heal"


def units_28d(settings: Settings, key: tuple[str, str]) -> int:
    store = open_online_store(settings)
    (row,) = store.read("sales_rolling", [key])
    store.close()
    assert row is not None
    units: int = row["units_28d"]
    return units


def end_of_sales(settings: Settings) -> int:
    """How many messages the sales topic has had."""
    return sum(end_offsets(settings)[f"{settings.topic_prefix}sales"].values())


def _send(settings: Settings, messages: list[tuple[str, bytes]]) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random"})
    topic = f"{settings.topic_prefix}sales"
    failed: list[Any] = []
    for key, value in messages:
        producer.produce(topic, key=key, value=value, on_delivery=lambda error, _: failed.append(error) if error else None)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert not failed
