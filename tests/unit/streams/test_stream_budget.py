"""How many dead letters are borne, and what is said when it is too many."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import DataGateError
from streams.budget import Budget, Taken


def batch(events: int, dead: int, reason: str = "contract") -> Taken:
    return Taken(events, Counter({reason: dead} if dead else {}))


def test_a_topic_that_is_nearly_all_dead_is_over_budget() -> None:
    budget = Budget(0.5, 10_000)
    assert budget.take(batch(900, 900)), "too few to judge"
    assert not budget.take(batch(200, 200))


def test_a_small_topic_is_not_judged_whatever_is_in_it() -> None:
    budget = Budget(0.5, 10_000)
    assert all(budget.take(batch(9, 9)) for _ in range(100))


def test_a_burst_in_a_long_good_stream_is_borne() -> None:
    budget = Budget(0.5, 10_000)
    assert all(budget.take(batch(2_000, 0)) for _ in range(20))
    assert all(budget.take(batch(2_000, 2_000)) for _ in range(2))
    assert all(budget.take(batch(2_000, 0)) for _ in range(20))


def test_what_left_the_window_is_forgotten() -> None:
    budget = Budget(0.5, 1_000)
    budget.take(batch(500, 500))
    for _ in range(4):
        budget.take(batch(500, 0))
    assert budget.dead == 0
    assert budget.take(batch(500, 500)), "half of the window is still good"
    assert not budget.take(batch(500, 500))


def test_a_share_of_one_bears_everything() -> None:
    budget = Budget(1.0, 10)
    assert all(budget.take(batch(100, 100)) for _ in range(100))


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 1)), max_size=60), st.floats(0.05, 1.0))
def test_the_window_holds_the_latest_batches_that_make_it_up_and_no_more(steps: list[tuple[int, float]], share: float) -> None:
    window, budget = 1_000, Budget(share, 1_000)
    batches = [batch(events, int(events * bad)) for events, bad in steps]
    for number, one in enumerate(batches):
        holds = budget.take(one)
        latest: list[Taken] = []
        for earlier in reversed(batches[: number + 1]):
            if sum(x.events for x in latest) >= window:
                break
            latest.append(earlier)
        events, dead = sum(x.events for x in latest), sum(x.dead.total() for x in latest)
        assert budget.dead == dead
        assert holds is (events < window / 10 or dead <= share * events)


def test_the_message_names_the_reasons_the_topic_a_place_and_what_to_do() -> None:
    budget = Budget(0.5, 1_000)
    budget.take(batch(700, 600))
    budget.take(batch(300, 100, "misrouted"))
    with pytest.raises(DataGateError) as refused:
        budget.refuse("x.sales", "3:41")
    assert refused.value.exit_code == 5
    for said in ("700 of the latest 1000", "600 contract, 100 misrouted", "x.sales", "3:41"):
        assert said in str(refused.value)
    assert "RD360_DEAD_LETTER_SHARE" in refused.value.hint
