"""docs/events.md says what the code does: its examples are accepted, and its reasons are all there are."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from contracts import letters
from contracts.errors import InvalidEvent
from contracts.events import Reason
from contracts.settings import CHECKOUT
from contracts.topics import INVENTORY, PRICES, SALES, SOURCES, Topic

PAGE = (CHECKOUT / "docs" / "events.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("topic", SOURCES, ids=lambda topic: topic.kind)
def test_the_example_of_each_topic_is_accepted(topic: Topic) -> None:
    section = PAGE.split(f"### `{topic.kind}`")[1]
    example = section.split("```json")[1].split("```")[0]
    assert topic.decode(example.encode())
    with pytest.raises(InvalidEvent):
        topic.decode(json.dumps(json.loads(example) | {"event_time": "yesterday"}).encode())


def test_the_complete_producer_is_python_and_its_receipt_is_accepted() -> None:
    code = PAGE.split("```python")[1].split("```")[0]
    compile(code, "docs/events.md", "exec")
    literal = code.split("receipt = ")[1].split("\nproducer.produce")[0]
    receipt = eval(literal, {"int": int, "time": __import__("time")})  # the page is ours
    assert SALES.decode(json.dumps(receipt).encode())
    assert "murmur2_random" in code


def test_every_reason_is_explained_and_no_other() -> None:
    table = PAGE.split("| reason | |")[1].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(get_args(Reason))


def test_header_names_are_the_codes() -> None:
    for name in (letters.TOPIC, letters.CLASS, letters.STAGE, letters.REASON, letters.LATE_KEYS):
        assert name in PAGE
    for name in (letters.PARTITION, letters.OFFSET, letters.MESSAGE):
        assert f"`.{name.rsplit('.', 1)[1]}`" in PAGE or f".{name.split('errors')[1].lstrip('.')}`" in PAGE


def test_keys_are_the_contracts() -> None:
    for topic in (SALES, INVENTORY, PRICES):
        assert re.search(rf"\| `{topic.kind}` \|.*\| `{topic.key_field}` \|", PAGE)
