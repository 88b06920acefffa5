"""The local days of time zones as arrays, so that compiled code finds a day and its start without asking the zone's rules."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.events import EARLIEST_EVENT_MS, LATEST_EVENT_MS
from contracts.windows import DAY_MS, StoreCalendars, calendar
from featurestore.compiled import compiled

# Days are counted from 1970-01-01. Windows look back from the earliest event, and ahead to when the latest leaves them.
MARGIN_DAYS = 500
FIRST_DAY = EARLIEST_EVENT_MS // DAY_MS - MARGIN_DAYS
LAST_DAY = LATEST_EVENT_MS // DAY_MS + MARGIN_DAYS
Starts = npt.NDArray[np.int64]  # the first instant (ms) of each day from FIRST_DAY on; with a zone in front, of each zone


@functools.lru_cache(maxsize=1024)
def day_starts(time_zone: str) -> Starts:
    """The first instant (ms) of each local day of a zone, from FIRST_DAY to LAST_DAY."""
    days = calendar(time_zone)
    return np.fromiter(map(days._day_start, range(FIRST_DAY, LAST_DAY + 1)), np.int64, LAST_DAY - FIRST_DAY + 1)


@compiled
def day_of(starts: Starts, time_ms: int) -> int:
    """The local day of an instant; FIRST_DAY before it, LAST_DAY after it. A zone is less than two days away from UTC, so a few
    steps lead there.

    A day that has begun does not begin again: where clocks went back at 00:01 (Newfoundland and Labrador until 2011), the hour
    that then came again before midnight is of the new day here, of the old one by `Calendar.day`.
    """
    last = len(starts) - 1
    at = min(max(time_ms // DAY_MS - FIRST_DAY, 0), last)
    while at < last and starts[at + 1] <= time_ms:
        at += 1
    while at > 0 and starts[at] > time_ms:
        at -= 1
    return at + FIRST_DAY


@compiled
def start_of(starts: Starts, day: int) -> int:
    """The first instant (ms) of a local day."""
    start: int = starts[min(max(day - FIRST_DAY, 0), len(starts) - 1)]
    return start


class Zones(NamedTuple):
    """The days of each zone, and the number of the zone of each key."""

    starts: Starts
    of_key: npt.NDArray[np.int64]


def zones_of(calendars: StoreCalendars, store_ids: Sequence[str]) -> Zones:
    """The zones of some stores."""
    zone_of = {store_id: calendars.zone(store_id) for store_id in dict.fromkeys(store_ids)}
    distinct = sorted({*zone_of.values(), calendars.chain_zone})
    number_of = {store_id: distinct.index(name) for store_id, name in zone_of.items()}
    return Zones(_starts_of(tuple(distinct)), np.fromiter(map(number_of.__getitem__, store_ids), np.int64, len(store_ids)))


@functools.lru_cache(maxsize=16)  # 300 KB a zone; which zones come together hardly varies
def _starts_of(time_zones: tuple[str, ...]) -> Starts:
    return np.stack([day_starts(time_zone) for time_zone in time_zones])
