"""The states in memory: the same as without them, asked of the store as seldom as can be, and as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.key_table import KeyTable
from streams.state_cache import OBJECT_BYTES, StateCache

PARTITIONS = 3
STEPS = st.lists(
    st.one_of(st.tuples(st.integers(0, 6), st.binary(min_size=1, max_size=9)), st.just("store and forget")), max_size=40
)


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


def test_the_store_is_not_asked_for_a_key_that_came_up_after_the_last_time_states_were_let_go_of() -> None:
    made, table, stored = cache(2)
    assert made.get([1, 0]) == [b"", b""]
    made.keep([0], [b"state"])
    assert made.get([0, table.number(("s-2", "p-9"))]) == [b"state", b""]
    assert not stored.asked


def test_what_was_let_go_of_is_asked_for_once() -> None:
    made, table, stored = cache(3)
    made.keep([0, 1], [b"zero", b"one"])
    stored.update({table.stored[0]: b"zero", table.stored[1]: b"one"})
    made.forget()
    assert [made.get([1, 2]), made.get([1, 2])] == [[b"one", b""]] * 2
    assert stored.asked == [table.stored[1], table.stored[2]]


def test_memory_is_counted_by_the_bytes_of_the_states(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.state_cache.MOST_BYTES", PARTITIONS * (2 * OBJECT_BYTES + 100))
    made, _, _ = cache(3)
    made.keep([0, 1], [b"x" * 60, b"x" * 40])
    assert not made.is_full
    made.keep([0], [b"x" * 61])
    assert made.is_full
    made.keep([0], [b"x" * 10])
    assert not made.is_full
    made.keep([2], [b""])
    made.forget()
    assert made._bytes == 0


@given(STEPS)
def test_states_are_those_of_a_dictionary_and_their_bytes_those_of_a_count(steps: list[tuple[int, bytes] | str]) -> None:
    made, table, stored = cache(7)
    wanted: dict[int, bytes] = {}
    for step in steps:
        if isinstance(step, str):
            stored.update({table.stored[number]: state for number, state in wanted.items()})
            made.forget()
        else:
            number, state = step
            assert made.get([number]) == [wanted.get(number, b"")]
            made.keep([number], [state])
            wanted[number] = state
    assert made.get(range(7)) == [wanted.get(number, b"") for number in range(7)]
    counted = sum(OBJECT_BYTES + len(state) for state in wanted.values())
    assert made._bytes == counted
