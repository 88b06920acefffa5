"""Keys by number, and the times that numbers are due."""

from __future__ import annotations

import sys
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.key_table import KeyTable, key_in_store
from streams.schedule import NEVER, Schedule

TIMES = st.one_of(st.integers(0, 20), st.just(NEVER))


def test_a_key_has_one_number_whatever_objects_its_texts_are() -> None:
    table = KeyTable()
    numbers = [table.number((f"s-{store}", f"p-{product}")) for store, product in ((1, 1), (1, 2), (2, 1), (1, 1), (2, 1))]

    assert numbers == [0, 1, 2, 0, 2]
    assert table.keys == [("s-1", "p-1"), ("s-1", "p-2"), ("s-2", "p-1")]
    assert [key_in_store(raw) for raw in table.stored] == table.keys
    assert len(table) == 3


def test_the_numbers_of_a_store_are_seen_by_who_asked_for_them_before() -> None:
    table = KeyTable()
    of_store = table.of_store("s-1")
    assert of_store == {}
    table.number(("s-1", "p-1"))
    table.number(("s-2", "p-1"))
    assert of_store == {"p-1": 0}


def test_a_block_has_the_keys_that_were_asked_for_and_those_that_came_since_the_last_one() -> None:
    table, keys = KeyTable(), [("s-1", "p-1"), ("Käse", "北京"), ("s-1", "")]
    for key in keys[:2]:
        table.number(key)
    first = table.block(np.array([1, 0, 1]))
    table.number(keys[2])
    assert list(table.block(np.array([2, 1]))) == [keys[2], keys[1]]
    assert list(first) == [keys[1], keys[0], keys[1]]
    assert not table.block(np.zeros(0, np.int64))


def test_threads_that_meet_the_same_keys_at_once_give_each_one_number() -> None:
    table, found, together = KeyTable(), list[list[int]](), threading.Barrier(4)

    def meet() -> None:
        together.wait(10)
        found.append([table.number((f"s-{number % 7}", f"p-{number}")) for number in range(20_000)])

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=meet) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)

    assert found == [found[0]] * 4
    assert sorted(found[0]) == list(range(20_000))
    assert [table.keys[number] for number in found[0]] == [(f"s-{number % 7}", f"p-{number}") for number in range(20_000)]
    assert [key_in_store(raw) for raw in table.stored] == table.keys


@given(st.lists(st.one_of(st.dictionaries(st.integers(0, 30), TIMES), st.tuples(st.integers(0, 25), st.integers(1, 3)))))
def test_each_is_due_at_the_earliest_time_that_it_was_given_until_that_has_come(
    steps: list[dict[int, int] | tuple[int, int]],
) -> None:
    schedule, expected = Schedule(), dict[int, int]()
    for step in steps:
        if isinstance(step, dict):
            schedule.note(np.array(list(step), np.int64), np.array(list(step.values()), np.int64))
            expected |= {number: min(at, expected.get(number, NEVER)) for number, at in step.items() if at != NEVER}
        else:
            now, most = step
            due = sorted((at, number) for number, at in expected.items() if at <= now)[:most]
            assert schedule.due(now, most).tolist() == [number for _, number in due]
            for _, number in due:
                del expected[number]
    assert schedule.due(NEVER - 1).tolist() == [number for _, number in sorted((at, number) for number, at in expected.items())]


def test_what_is_cleared_is_never_due() -> None:
    schedule = Schedule()
    schedule.note(np.array([3]), np.array([5], np.int64))
    schedule.clear()
    assert not len(schedule.due(NEVER - 1))
