"""How often Kafka is asked whether a worker that is measured is done: seldom on the way, and often at the end."""

from __future__ import annotations

import pytest

from tests.bench.contestants import LONGEST_POLL_SECONDS, POLL_SECONDS, _pause


@pytest.mark.parametrize("speed", [1_000.0, 30_000.0, 900_000.0])
def test_the_end_is_met_within_one_short_pause_by_few_questions(speed: float) -> None:
    receipts, seconds, asked = 100_000, 0.0, 0
    while (done := int(speed * seconds)) < receipts:
        seconds += _pause(done, seconds, receipts - done)
        asked += 1
    assert seconds - receipts / speed <= POLL_SECONDS
    assert asked <= 15 + seconds / LONGEST_POLL_SECONDS


def test_a_worker_that_has_done_nothing_yet_is_looked_at_often_and_one_that_stands_still_now_and_then() -> None:
    assert _pause(0, 7.0, 10) == POLL_SECONDS
    assert _pause(1, 100.0, 1_000) == LONGEST_POLL_SECONDS
