"""JSON Schemas of the events, one per topic, derived from the structs that decode them."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from contracts.events import ForecastServed, InventoryEvent, PriceEvent, Receipt
from contracts.topics import FORECASTS, INVENTORY, PRICES, SALES, Topic

STRUCTS: dict[Topic, type[msgspec.Struct]] = {
    SALES: Receipt,
    INVENTORY: InventoryEvent,
    PRICES: PriceEvent,
    FORECASTS: ForecastServed,
}


def json_schema(topic: Topic) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a topic's message value. It says the shape; docs/events.md says what a shape cannot."""
    schema: dict[str, Any] = msgspec.json.schema(STRUCTS[topic])
    (struct,) = (schema["$defs"][name] for name in (STRUCTS[topic].__name__,))
    definitions = {name: value for name, value in schema["$defs"].items() if name != STRUCTS[topic].__name__}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": topic.kind,
        "x-kafka-key": topic.key_field,
        **{name: value for name, value in struct.items() if name != "title"},
        **({"$defs": definitions} if definitions else {}),
    }


def text(topic: Topic) -> str:
    """The schema as its file has it."""
    return json.dumps(json_schema(topic), indent=2) + "\n"
