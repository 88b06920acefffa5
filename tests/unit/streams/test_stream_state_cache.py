"""The states in memory: the same as without them, asked of the store as seldom as can be, and as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.pieces import cut, pieces
from streams.key_table import KeyTable, store_key
from streams.state_cache import StateCache

PARTITIONS = 3
STATES = st.binary(min_size=1, max_size=9)
STEPS = st.lists(st.one_of(st.dictionaries(st.integers(0, 6), STATES), st.just("store and forget")), max_size=40)


class Stored(dict[bytes, bytes]):
    """Stored states, and which keys were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def load(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.asked += keys
        return [self.get(key) for key in keys]


def cache(keys: int) -> tuple[StateCache, KeyTable, Stored]:
    table, stored = KeyTable(), Stored()
    for number in range(keys):
        table.number(("s-1", f"p-{number}"))
    return StateCache(table, stored.load, PARTITIONS), table, stored


def got(made: StateCache, numbers: Sequence[int]) -> list[bytes]:
    return cut(made.get(np.array(numbers, np.int64)))


def keep(made: StateCache, states: dict[int, bytes]) -> None:
    made.keep(np.array(list(states), np.int64), pieces(list(states.values())))


def test_the_store_is_not_asked_for_a_key_that_came_up_after_the_last_time_states_were_let_go_of() -> None:
    made, table, stored = cache(2)
    assert got(made, [1, 0]) == [b"", b""]
    keep(made, {0: b"state"})
    assert got(made, [0, table.number(("s-2", "p-9"))]) == [b"state", b""]
    assert not stored.asked


def test_what_was_let_go_of_is_asked_for_once() -> None:
    made, table, stored = cache(3)
    keep(made, {0: b"zero", 1: b"one"})
    stored.update({store_key(table.key(0)): b"zero", store_key(table.key(1)): b"one"})
    made.forget()
    assert [got(made, [1, 2, 1]), got(made, [1, 2])] == [[b"one", b"", b"one"], [b"one", b""]]
    assert stored.asked == [store_key(table.key(1)), store_key(table.key(2))]


def test_what_was_replaced_takes_no_more_room_than_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.state_cache.LEAST_BYTES", 0)
    monkeypatch.setattr("streams.state_cache.MOST_BYTES", PARTITIONS * 2 * 160)
    made, _, _ = cache(3)
    for number in range(50):
        keep(made, {0: b"x" * 60, 1: bytes([number]) * 40, 2: b"z" * (10 + number)})
        assert not made.is_full
        assert got(made, [0, 1, 2]) == [b"x" * 60, bytes([number]) * 40, b"z" * (10 + number)]
    for _ in range(9):
        keep(made, {0: b"x" * 100})
    assert made.is_full
    made.forget()
    assert not made.is_full


def test_states_that_were_asked_for_stay_what_they_were_while_others_come() -> None:
    made, _, _ = cache(2)
    keep(made, {0: b"before", 1: b"beside"})
    asked = made.get(np.array([1, 0]))
    for _ in range(9):
        keep(made, {0: b"after" * 20_000})
    assert cut(asked) == [b"beside", b"before"]


@settings(deadline=None)  # the first example may compile
@given(STEPS)
def test_states_are_those_of_a_dictionary(steps: list[dict[int, bytes] | str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.state_cache.LEAST_BYTES", 0)
        made, table, stored = cache(7)
        wanted: dict[int, bytes] = {}
        for step in steps:
            if isinstance(step, str):
                stored.update({store_key(table.key(number)): state for number, state in wanted.items()})
                made.forget()
            else:
                assert got(made, list(step)) == [wanted.get(number, b"") for number in step]
                keep(made, step)
                wanted |= step
        assert got(made, range(7)) == [wanted.get(number, b"") for number in range(7)]
        assert made._used - made._replaced == sum(map(len, wanted.values()))
