"""The published JSON Schemas are those of the structs, and mean what the decoders do."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from contracts.events import encode
from contracts.settings import CHECKOUT
from contracts.topics import INVENTORY, PRICES, SALES, TOPICS, Topic
from streams.schemas import json_schema, text
from tests.builders import line, price, receipt, stock


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.kind)
def test_the_file_is_current(topic: Topic) -> None:
    path = CHECKOUT / "docs" / "schemas" / f"{topic.kind}.json"
    assert path.read_text(encoding="utf-8") == text(topic), "run `./rd360 stream schemas`"


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.kind)
def test_it_is_a_json_schema(topic: Topic) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(topic))


def test_our_events_satisfy_it() -> None:
    for topic, event in ((SALES, receipt("r", 1_750_000_000_000, line("a", -1))), (INVENTORY, stock()), (PRICES, price())):
        jsonschema.validate(json.loads(encode(event)), json_schema(topic))


@pytest.mark.parametrize(
    "change",
    [{"store_id": ""}, {"event_time": 5}, {"channel": "fax"}, {"lines": []}, {"event_id": None}, {"event_time": "now"}],
)
def test_what_breaks_it_breaks_the_decoder(change: dict[str, Any]) -> None:
    event = json.loads(encode(receipt())) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, json_schema(SALES))


def test_unknown_fields_are_welcome() -> None:
    jsonschema.validate(json.loads(encode(receipt())) | {"till": 7}, json_schema(SALES))


def test_the_kafka_key_is_in_it() -> None:
    assert {topic.kind: json_schema(topic)["x-kafka-key"] for topic in TOPICS} == {
        "sales": "store_id",
        "inventory": "store_id",
        "prices": "product_id",
        "forecasts": "store_id",
    }
