"""Keys by number, and the times that numbers are due."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.pieces import cut, pieces, texts
from streams import key_table
from streams.key_table import SEPARATOR, Key, KeyTable, store_key
from streams.schedule import NEVER, Schedule

IDENTIFIERS = st.one_of(st.sampled_from(["", "1", "11", "é", "北京"]), st.integers(0, 99).map(str))
BATCHES = st.lists(st.lists(st.tuples(IDENTIFIERS, IDENTIFIERS), max_size=99), max_size=9)
TIMES = st.one_of(st.integers(0, 20), st.just(NEVER))


def test_a_key_has_one_number_whoever_asks() -> None:
    table = KeyTable()
    numbers = [table.number((f"s-{store}", f"p-{product}")) for store, product in ((1, 1), (1, 2), (2, 1), (1, 1), (2, 1))]

    assert numbers == [0, 1, 2, 0, 2]
    assert [table.key(number) for number in range(3)] == [("s-1", "p-1"), ("s-1", "p-2"), ("s-2", "p-1")]
    assert cut(table.stored(np.array([2, 0]))) == [store_key(("s-2", "p-1")), store_key(("s-1", "p-1"))]
    assert len(table) == 3


def test_a_block_has_the_keys_that_were_asked_for_and_stays_what_it_was() -> None:
    table, keys = KeyTable(), [("s-1", "p-1"), ("Käse", "北京"), ("s-1", "")]
    for key in keys[:2]:
        table.number(key)
    first = table.block(np.array([1, 0, 1]))
    table.number(keys[2])
    assert list(table.block(np.array([2, 1]))) == [keys[2], keys[1]]
    assert list(first) == [keys[1], keys[0], keys[1]] == [first[0], first[1], first[2]]
    assert not table.block(np.zeros(0, np.int64))


@settings(deadline=None)  # the first example may compile
@given(BATCHES)
def test_numbers_are_those_of_a_dictionary(batches: list[list[Key]]) -> None:
    table, known = KeyTable(), dict[Key, int]()
    for batch in batches:
        stores = list(dict.fromkeys(store_id for store_id, _ in batch))
        store_of = np.array([stores.index(store_id) for store_id, _ in batch], np.int64)
        under = texts([f"{store_id}{SEPARATOR}" for store_id in stores])
        found = table.numbers(texts([product_id for _, product_id in batch]), under, store_of)
        assert found.tolist() == [known.setdefault(key, len(known)) for key in batch]
        assert table.numbers(pieces(list(map(store_key, batch)))).tolist() == found.tolist()
    assert list(table.block(np.arange(len(table)))) == list(known)


def test_keys_whose_texts_have_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_table, "_hashed", lambda *_: np.uint64(7))
    monkeypatch.setattr(key_table, "_number", key_table._number.py_func)  # type: ignore[attr-defined]  # numba's
    table, keys = KeyTable(), [("s-1", "p-1"), ("s-1", "p-2"), ("s-2", "p-1"), ("s-", "2p-1"), ("s-1", "p-2")]
    assert [table.number(key) for key in keys] == [0, 1, 2, 3, 1]
    assert table.numbers(texts(["p-2", "p-1"]), texts([f"s-2{SEPARATOR}"]), np.zeros(2, np.int64)).tolist() == [4, 2]


def test_threads_that_meet_the_same_keys_at_once_give_each_one_number() -> None:
    table, found, together = KeyTable(), list[list[int]](), threading.Barrier(4)
    keys = [(f"s-{number % 7}", f"p-{number}") for number in range(20_000)]

    def meet() -> None:
        together.wait(10)
        numbers: list[int] = []
        for start in range(0, len(keys), 100):
            numbers += table.numbers(pieces(list(map(store_key, keys[start : start + 100])))).tolist()
            assert table.key(numbers[-1]) == keys[start + 99]
        found.append(numbers)

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
    assert list(table.block(np.array(found[0]))) == keys


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
