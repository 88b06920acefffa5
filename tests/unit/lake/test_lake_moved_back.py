"""Progress that is moved back: never forward, and nothing is noted of a partition that was not seen."""

from __future__ import annotations

from lake.jobs.requarantine import moved_back


def test_each_partition_goes_back_to_the_first_message_that_is_to_be_seen_again() -> None:
    seen = {("sales", 0): 90, ("sales", 1): 40, ("prices", 0): 7}
    assert moved_back(seen, {("sales", 0): 12, ("sales", 1): 55, ("inventory", 3): 1}) == {**seen, ("sales", 0): 12}
