"""Which late events the online rows do not hold, as the letters of the worker tell it."""

from __future__ import annotations

import json

import pytest

from contracts.letters import LATE_KEYS, OFFSET, PARTITION, REASON
from lake.stream_position import LateKey, StillLate


def still_late(*letters: tuple[str, int, int, list[list[str]]]) -> set[LateKey]:
    found = StillLate()
    for reason, partition, offset, keys in letters:
        values = {REASON: reason, PARTITION: str(partition), OFFSET: str(offset), LATE_KEYS: json.dumps(keys)}
        found.note({name: value.encode() for name, value in values.items()})
    return found.events


FIG, PLUM = ["s", "fig"], ["s", "plum"]


def test_a_late_event_is_late_for_each_key_that_did_not_take_it() -> None:
    assert still_late(("late", 1, 7, [FIG, PLUM]), ("late", 1, 9, [FIG])) == {
        (1, 7, "s", "fig"),
        (1, 7, "s", "plum"),
        (1, 9, "s", "fig"),
    }


def test_what_a_rebuilt_state_holds_is_late_no_more() -> None:
    late = [("late", 1, 7, [FIG, PLUM]), ("late", 1, 9, [FIG])]
    assert still_late(*late, ("healed", 1, 8, [FIG])) == {(1, 7, "s", "plum"), (1, 9, "s", "fig")}
    assert still_late(*late, ("healed", 1, 9, [FIG]), ("healed", 1, 9, [PLUM])) == set()


@pytest.mark.parametrize(("then", "late"), [("moved_on", {(1, 7, "s", "fig")}), ("healed", set())])
def test_a_key_that_was_said_healed_and_was_not_is_late_again(then: str, late: set[LateKey]) -> None:
    assert still_late(("late", 1, 7, [FIG]), ("healed", 1, 8, [FIG]), (then, 1, 8, [FIG])) == late


def test_a_key_that_has_moved_on_is_as_late_as_before() -> None:
    assert still_late(("late", 1, 7, [FIG]), ("moved_on", 1, 8, [FIG])) == {(1, 7, "s", "fig")}
