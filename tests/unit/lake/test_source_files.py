"""Which months are made anew, told from commits and the files' days alone."""

from __future__ import annotations

import datetime as dt

from lake.source_files import Commit, between, changed, months

JANUARY, FEBRUARY, MARCH = (dt.date(2024, month, 1) for month in (1, 2, 3))
AHEAD = (dt.date(2024, 1, 25), dt.date(2024, 2, 7))
OF_FEBRUARY = (dt.date(2024, 2, 1), dt.date(2024, 2, 29))
OF_MARCH = (dt.date(2024, 3, 1), dt.date(2024, 3, 31))

HISTORY = {
    1: Commit(None, changes_rows=True),
    2: Commit(1, changes_rows=True),
    3: Commit(2, changes_rows=False),  # files were merged
    4: Commit(3, changes_rows=True),
    40: Commit(3, changes_rows=True),  # of a branch, or of a state that was left
}


def test_what_lies_between_two_snapshots_is_the_commits_that_change_rows() -> None:
    assert between(HISTORY, 1, 4) == [4, 2]
    assert between(HISTORY, 2, 3) == []
    assert between(HISTORY, 4, 4) == []


def test_all_of_a_table_that_had_no_snapshot_came_since() -> None:
    assert between(HISTORY, None, 4) == [4, 2, 1]
    assert between({}, None, None) == []


def test_what_changed_is_not_known_where_a_commit_between_is_gone_or_the_table_was_set_back() -> None:
    assert between({at: commit for at, commit in HISTORY.items() if at != 2}, 1, 4) is None
    assert between({at: commit for at, commit in HISTORY.items() if at != 1}, None, 4) is None
    assert between(HISTORY, 4, 2) is None
    assert between(HISTORY, 40, 4) is None
    assert between({}, 4, None) is None


def test_a_file_counts_in_every_month_that_it_has_days_of() -> None:
    assert months([AHEAD, None]) == [JANUARY, FEBRUARY]
    assert changed([AHEAD], [], [OF_MARCH]) == [JANUARY, FEBRUARY]


def test_what_came_counts_only_in_months_of_forecasts() -> None:
    assert changed([], [OF_FEBRUARY, OF_MARCH], [AHEAD]) == [FEBRUARY]


def test_months_whose_forecasts_are_gone_have_changed() -> None:
    assert changed([AHEAD], [], [OF_FEBRUARY]) == [JANUARY, FEBRUARY]


def test_a_file_of_unknown_days_counts_in_every_month_of_forecasts() -> None:
    assert changed([None], [], [AHEAD, OF_MARCH]) == [JANUARY, FEBRUARY, MARCH]
    assert changed([OF_MARCH], [None], [AHEAD]) == [JANUARY, FEBRUARY, MARCH]


def test_a_december_ends_with_its_year() -> None:
    assert months([(dt.date(2023, 12, 31), dt.date(2024, 1, 1))]) == [dt.date(2023, 12, 1), JANUARY]
