"""Which dead letters a filter finds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from contracts.topics import INVENTORY, SALES
from streams.dead_letters import ANY, DeadLetter, Wanted
from tests.builders import NOON

LETTER = DeadLetter(SALES, 7, NOON, b"s-1", b'{"till": "4"}', "contract", "no event_id", 2, 40, ())


@pytest.mark.parametrize(
    ("field", "hit", "miss"),
    [
        ("topic", SALES, INVENTORY),
        ("reason", "contract", "misrouted"),
        ("offset", 7, 8),
        ("source", (2, 40), (3, 40)),
        ("key", b"s-1", b"s-2"),
        ("since", NOON, NOON + 1),
        ("until", NOON + 1, NOON),
        ("text", b'"till"', b"kiosk"),
    ],
)
def test_each_filter_lets_through_what_it_names_and_nothing_else(field: str, hit: Any, miss: Any) -> None:
    assert LETTER in ANY
    assert LETTER in dataclasses.replace(ANY, **{field: hit})
    assert LETTER not in dataclasses.replace(ANY, **{field: miss})


def test_a_filter_holds_all_that_it_is_given() -> None:
    assert LETTER in Wanted(SALES, "contract", key=b"s-1")
    assert LETTER not in Wanted(SALES, "contract", key=b"s-2")


def test_a_letter_without_bytes_contains_no_text() -> None:
    assert dataclasses.replace(LETTER, value=None) not in Wanted(text=b"x")
