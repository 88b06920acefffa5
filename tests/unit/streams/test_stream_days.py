"""Days as arrays are the calendar's days."""

from __future__ import annotations

import pytest

from contracts.events import EARLIEST_EVENT_MS, LATEST_EVENT_MS
from contracts.windows import DAY_MS, StoreCalendars, calendar
from streams.days import FIRST_DAY, LAST_DAY, day_of, day_starts, start_of, zones_of
from tests.builders import HOUR

# Clocks that change at midnight, by half an hour, 45 minutes from the hour, and a day that was left out (2011-12-30).
ZONES = ("UTC", "Europe/London", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo")


@pytest.mark.parametrize("zone", ZONES)
def test_each_instant_is_on_the_calendars_day(zone: str) -> None:
    days, starts = calendar(zone), day_starts(zone)
    for time_ms in range(EARLIEST_EVENT_MS, LATEST_EVENT_MS, 41 * HOUR + 60_001):
        day = day_of(starts, time_ms)
        assert day == days.day(time_ms)
        assert start_of(starts, day) == days.day_start(day) <= time_ms


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_with_its_first_instant(zone: str) -> None:
    days, starts = calendar(zone), day_starts(zone)
    for day in range(EARLIEST_EVENT_MS // DAY_MS, LATEST_EVENT_MS // DAY_MS, 13):
        start = start_of(starts, day)
        assert (day_of(starts, start), day_of(starts, start - 1)) == (days.day(start), days.day(start - 1))


def test_beyond_all_events_there_is_the_first_day_and_the_last() -> None:
    starts = day_starts("UTC")
    assert (day_of(starts, -1), day_of(starts, 2**62)) == (FIRST_DAY, LAST_DAY)
    assert start_of(starts, FIRST_DAY - 100) == FIRST_DAY * DAY_MS


def test_each_store_has_the_days_of_its_zone() -> None:
    zones = zones_of(StoreCalendars("UTC", {"s-2": "Asia/Kathmandu"}), ["s-1", "s-2", "s-1"])
    assert zones_of(StoreCalendars("UTC", {"s-2": "Asia/Kathmandu"}), ["s-2"]).starts is zones.starts, "kept once, in any order"
    assert [zones.starts[zone].tolist() for zone in zones.of_key] == [
        day_starts(zone).tolist() for zone in ("UTC", "Asia/Kathmandu", "UTC")
    ]
