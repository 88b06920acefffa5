"""Which snapshots of a table stay when old ones go."""

from __future__ import annotations

from lake.maintain import last_ones

# 1 <- 2 <- 3 <- 5, and 4, a draft that was never published, which came of 2
PARENTS = {1: None, 2: 1, 3: 2, 4: 2, 5: 3}


def test_the_last_snapshots_are_those_that_a_branch_came_of() -> None:
    assert last_ones(PARENTS, 5, 3) == [5, 3, 2]
    assert last_ones(PARENTS, 4, 9) == [4, 2, 1]


def test_what_has_gone_is_passed_over() -> None:
    assert last_ones({3: 2, 5: 3}, 5, 9) == [5, 3]
    assert last_ones({}, 5, 9) == []
