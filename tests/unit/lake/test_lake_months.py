"""Which months are made anew for a span of days, and which spans are refused."""

from __future__ import annotations

import datetime as dt

import pytest

from contracts.errors import UsageError
from infra.cli import __main__ as cli
from lake.months import Days, Known, Months, in_utc, within

MARCH_15, LATEST_MS = dt.date(2024, 3, 15), 1_714_500_000_000
THERE = Known(dt.date(2024, 2, 20), dt.date(2024, 4, 9), LATEST_MS)


def test_a_span_is_made_anew_in_whole_months() -> None:
    assert Days(MARCH_15, MARCH_15).months == Months(dt.date(2024, 3, 1), dt.date(2024, 3, 1))
    assert Days(dt.date(2023, 12, 31), MARCH_15).months.names(until=dt.date(2024, 2, 1)) == ["2023-12", "2024-01", "2024-02"]
    assert Days(dt.date(2023, 12, 31), MARCH_15).months.last_day == dt.date(2024, 3, 31)
    assert Months(dt.date(2024, 3, 1)).names(until=dt.date(2024, 5, 2)) == ["2024-03", "2024-04", "2024-05"]


def test_a_span_is_cut_to_the_days_that_there_are() -> None:
    assert within(Days(dt.date(2020, 1, 1), MARCH_15), THERE) == Days(dt.date(2024, 2, 20), MARCH_15)
    assert within(Days(MARCH_15, dt.date.max), THERE) == Days(MARCH_15, dt.date(2024, 4, 9))


@pytest.mark.parametrize("there", [THERE, Known(None, None, None)])
@pytest.mark.parametrize("day", [dt.date(2024, 2, 19), dt.date(2024, 4, 10)])
def test_a_span_of_which_there_is_no_day_is_refused(there: Known, day: dt.date) -> None:
    with pytest.raises(UsageError):
        within(Days(day, day), there)


@pytest.mark.parametrize(
    ("zones", "first", "last"),
    [
        (["UTC"], 3, 3),
        (["Europe/London"], 3, 3),  # 1 March begins with the day of UTC, 31 March ends an hour before it
        (["Pacific/Auckland"], 2, 3),
        (["America/New_York"], 3, 4),
        (["America/New_York", "UTC", "Pacific/Auckland"], 2, 4),
    ],
)
def test_months_in_utc_hold_each_instant_of_the_days_in_each_zone(zones: list[str], first: int, last: int) -> None:
    found = in_utc(Days(dt.date(2024, 3, 1), dt.date(2024, 3, 31)), zones)
    assert found == Months(dt.date(2024, first, 1), dt.date(2024, last, 1))


@pytest.mark.parametrize("command", [["lake", "gold"], ["features", "offline"]])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "2024-03-01"], "belong together"),
        (["--to", "2024-03-01"], "belong together"),
        (["--from", "2024-03-02", "--to", "2024-03-01"], "lies before"),
        (["--from", "March", "--to", "2024-03-01"], "--from March is not a date"),
        (["--full", "--from", "2024-03-01", "--to", "2024-03-01"], "--full"),
    ],
)
def test_options_that_are_no_span_are_refused_before_any_server_is_asked(
    capsys: pytest.CaptureFixture[str], command: list[str], options: list[str], said: str
) -> None:
    assert cli.main([*command, *options]) == 2
    assert said in capsys.readouterr().err
