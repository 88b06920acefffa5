"""Aggregates are exact integers, whatever the order and the grouping."""

from __future__ import annotations

import functools
import itertools

from hypothesis import given
from hypothesis import strategies as st

from contracts.aggregates import EMPTY, SALES_VALUES, LastSale, lift, merge

lines = st.lists(
    st.tuples(st.integers(-(10**9), 10**9).filter(bool), st.integers(0, 10**9), st.booleans()), min_size=1, max_size=5
)


def test_lift_tells_sales_from_returns() -> None:
    values = dict(zip(SALES_VALUES, lift([(3, 200, False), (2, 150, True), (-1, 200, False)]), strict=True))
    assert values == {
        "units": 5,
        "returned_units": 1,
        "sales_cents": 900,
        "refund_cents": 200,
        "receipts": 1,
        "promotion_units": 2,
    }


def test_a_mere_return_is_no_receipt() -> None:
    assert dict(zip(SALES_VALUES, lift([(-2, 100, True)]), strict=True))["receipts"] == 0


@given(st.lists(lines, max_size=6), st.randoms(use_true_random=False))
def test_merging_in_any_order_and_grouping_gives_the_same(contributions: list[list[tuple[int, int, bool]]], rng: object) -> None:
    lifted = [lift(some) for some in contributions]
    shuffled = lifted[:]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands out a random.Random
    half = len(shuffled) // 2
    left, right = (functools.reduce(merge, some, EMPTY) for some in (shuffled[:half], shuffled[half:]))
    assert merge(left, right) == functools.reduce(merge, lifted, EMPTY)


def test_the_latest_sale_is_a_maximum_so_arrival_does_not_matter() -> None:
    sales = [LastSale(5, "b", 100), LastSale(5, "a", 900), LastSale(5, "b", 120), LastSale(4, "z", 1)]
    assert {max(some) for some in itertools.permutations(sales)} == {LastSale(5, "b", 120)}
