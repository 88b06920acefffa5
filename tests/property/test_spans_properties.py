"""Spans of offsets beside plain sets."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from lake import spans

OFFSETS = st.frozensets(st.integers(min_value=0, max_value=40))


def held(found: list[spans.Span]) -> list[int]:
    """Every offset of some spans."""
    return [offset for first, last in found for offset in range(first, last + 1)]


@given(OFFSETS, OFFSETS)
def test_spans_do_what_sets_do(one: frozenset[int], other: frozenset[int]) -> None:
    left, right = spans.of_offsets(one), spans.of_offsets(other)

    assert held(left) == sorted(one)
    assert spans.count(left) == len(one)
    assert held(spans.without(left, right)) == sorted(one - other)
    assert held(spans.within(left, right)) == sorted(one & other)
    assert held(spans.joined([*left, *right])) == sorted(one | other)


@given(OFFSETS, st.integers(min_value=0, max_value=5))
def test_spans_that_are_near_become_one(offsets: frozenset[int], apart: int) -> None:
    near = spans.joined(spans.of_offsets(offsets), apart)

    assert set(held(near)) >= offsets
    assert all(second[0] - first[1] - 1 > apart for first, second in itertools.pairwise(near))
    assert all({first, last} <= offsets for first, last in near)
