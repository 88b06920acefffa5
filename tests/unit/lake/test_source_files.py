"""Which months are made anew, told from the files' days alone."""

from __future__ import annotations

import datetime as dt

from lake.source_files import File, changed, months

JANUARY, FEBRUARY, MARCH = (dt.date(2024, month, 1) for month in (1, 2, 3))
AHEAD = File("ahead", (dt.date(2024, 1, 25), dt.date(2024, 2, 7)))
NEXT = File("next", (dt.date(2024, 2, 1), dt.date(2024, 2, 29)))
DAYS = File("days", (dt.date(2024, 2, 1), dt.date(2024, 2, 29)))


def test_a_file_counts_in_every_month_that_it_has_days_of() -> None:
    assert set(months([AHEAD])) == {JANUARY, FEBRUARY}
    assert changed(months([AHEAD]), months([AHEAD, NEXT])) == [FEBRUARY]


def test_what_came_counts_only_in_months_of_forecasts() -> None:
    later = File("later", (dt.date(2024, 3, 1), dt.date(2024, 3, 31)))
    assert months([AHEAD], [DAYS, later]).keys() == {JANUARY, FEBRUARY}
    assert changed(months([AHEAD], [DAYS]), months([AHEAD], [DAYS, later])) == []
    assert changed(months([AHEAD]), months([AHEAD], [DAYS])) == [FEBRUARY]


def test_months_whose_forecasts_are_gone_have_changed() -> None:
    assert changed(months([AHEAD, NEXT]), months([NEXT])) == [JANUARY, FEBRUARY]


def test_the_order_of_files_is_no_change() -> None:
    assert changed(months([AHEAD, NEXT], [DAYS]), months([NEXT, AHEAD], [DAYS])) == []


def test_a_file_of_unknown_days_counts_in_every_known_month() -> None:
    unknown = File("unknown", None)
    assert changed(months([AHEAD]), months([AHEAD], [unknown])) == [JANUARY, FEBRUARY]


def test_a_december_ends_with_its_year() -> None:
    over = File("over", (dt.date(2023, 12, 31), dt.date(2024, 1, 1)))
    assert set(months([over])) == {dt.date(2023, 12, 1), JANUARY}
