"""Fence, ids and lateness at their edges."""

from __future__ import annotations

from streams.admission import Admission, digest
from tests.builders import DAY, NOON


def test_an_offset_that_was_applied_is_a_replay_whatever_it_holds() -> None:
    state = Admission()
    assert state.admit(1, NOON, 7, DAY) == "applied"
    assert state.admit(1, NOON, 7, DAY) == "replayed"
    assert state.admit(2, NOON, 3, DAY) == "replayed"
    assert (state.as_of, state.offset, len(state.seen)) == (NOON, 7, 1)


def test_an_id_counts_once_for_as_long_as_its_repetition_is_not_late() -> None:
    state = Admission()
    state.admit(1, NOON, 1, DAY)
    state.admit(2, NOON + DAY, 2, DAY)  # the first is now exactly as old as is allowed
    state.forget(DAY)
    assert state.admit(1, NOON, 3, DAY) == "duplicate"
    state.admit(3, NOON + DAY + 1, 4, DAY)
    state.forget(DAY)
    assert 1 not in state.seen
    assert state.admit(1, NOON, 5, DAY) == "late"


def test_neither_a_late_event_nor_a_duplicate_moves_the_fence_or_the_as_of_time() -> None:
    state = Admission()
    state.admit(1, NOON, 1, DAY)
    assert state.admit(0, NOON - DAY - 1, 2, DAY) == "late"
    assert state.admit(1, NOON, 3, DAY) == "duplicate"
    assert (state.as_of, state.offset) == (NOON, 1)


def test_an_earlier_event_is_taken_and_the_as_of_time_stays() -> None:
    state = Admission()
    state.admit(1, NOON, 1, DAY)
    assert state.admit(0, NOON - DAY, 2, DAY) == "applied"
    assert (state.as_of, state.offset) == (NOON, 2)


def test_digests_are_the_same_in_every_process() -> None:
    assert digest("r-1") == 0x7D99A80E76BBAD0E
