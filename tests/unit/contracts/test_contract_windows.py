"""Windows: exact at the head, rounded down at the tail, by the store's own days, also where clocks and calendars jump."""

from __future__ import annotations

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.windows import EPOCH, WINDOWS, Calendar, StoreCalendars, calendar

ZONES = ["UTC", "Europe/London", "Africa/Cairo", "America/Sao_Paulo", "Pacific/Apia", "Asia/Kathmandu", "Australia/Lord_Howe"]
instants = st.integers(1_104_537_600_000, 1_893_456_000_000)  # 2005 to 2030


def ms(text: str, zone: str = "UTC") -> int:
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone)).timestamp() * 1000)


def day_of(date: str) -> int:
    return (dt.date.fromisoformat(date) - EPOCH).days


@given(instants, st.sampled_from(ZONES))
def test_a_day_number_is_the_local_date(instant: int, zone: str) -> None:
    local = dt.datetime.fromtimestamp(instant / 1000, zoneinfo.ZoneInfo(zone)).date()
    assert calendar(zone).day(instant) == (local - EPOCH).days


@given(instants, st.sampled_from(ZONES))
def test_a_day_starts_at_its_first_instant(instant: int, zone: str) -> None:
    days = calendar(zone)
    start = days.day_start(days.day(instant))
    assert start <= instant
    assert days.day(start) == days.day(instant)
    assert days.day(start - 1) < days.day(instant)


@given(instants, st.integers(0, 30 * 86_400_000), st.sampled_from(ZONES), st.sampled_from(sorted(WINDOWS)))
def test_an_event_is_in_a_window_until_its_tile_leaves_it_and_never_again(event: int, later: int, zone: str, name: str) -> None:
    days, window, as_of = calendar(zone), WINDOWS[name], event + later
    tile = days.tile(window.hop, event)
    inside = event >= days.window_start(window, as_of)
    assert inside == (tile >= days.tile(window.hop, as_of) - window.hops)
    assert inside == (as_of < days.tile_start(window.hop, tile + window.hops + 1))


@given(instants, st.sampled_from(ZONES))
def test_a_window_is_at_least_its_name_long_and_less_than_a_hop_longer(as_of: int, zone: str) -> None:
    days = calendar(zone)
    assert 3_600_000 <= as_of - days.window_start(WINDOWS["1h"], as_of) < 3_900_000
    assert 86_400_000 <= as_of - days.window_start(WINDOWS["24h"], as_of) < 90_000_000


@pytest.mark.parametrize(
    ("zone", "date", "starts", "hours"),
    [
        ("Europe/London", "2025-03-30", "2025-03-30T00:00Z", 23),
        ("Europe/London", "2025-10-26", "2025-10-25T23:00Z", 25),
        ("Africa/Cairo", "2025-04-25", "2025-04-24T22:00Z", 23),  # midnight itself does not exist: the day begins at 01:00
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", 23),  # likewise
        ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00Z", 25),  # its last hour is lived twice
        ("Asia/Kathmandu", "2025-06-15", "2025-06-14T18:15Z", 24),
        ("Australia/Lord_Howe", "2025-10-05", "2025-10-04T13:30Z", 23.5),
    ],
)
def test_days_where_the_clocks_change(zone: str, date: str, starts: str, hours: float) -> None:
    days, day = calendar(zone), day_of(date)
    assert days.day_start(day) == int(dt.datetime.fromisoformat(starts).timestamp() * 1000)
    assert days.day_start(day + 1) - days.day_start(day) == hours * 3_600_000


def test_the_day_that_apia_skipped_is_empty() -> None:
    days, skipped = calendar("Pacific/Apia"), day_of("2011-12-30")
    assert days.day_start(skipped) == days.day_start(skipped + 1)
    noon_after = ms("2011-12-31T12:00", "Pacific/Apia")
    assert days.day(noon_after) == skipped + 1
    assert days.window_start(WINDOWS["7d"], noon_after) == ms("2011-12-24T00:00", "Pacific/Apia")


def test_a_store_has_its_own_zone_or_the_chains() -> None:
    calendars = StoreCalendars("Europe/London", {"s-7": "America/New_York"})
    assert calendars.zone("s-1") == "Europe/London"
    assert calendars.of("s-7").zone.key == "America/New_York"
    assert isinstance(calendars.of("s-1"), Calendar)
