"""Window arithmetic: which tiles a window of a given as-of time covers, and when each tile leaves it.

Event time is cut into tiles of three hops: 5 minutes, 1 hour (both of UTC) and the store-local day, daylight saving included.
As of an instant `t`, a window of `n` hops covers the tile that holds `t` and the `n` tiles before it: exact up to `t` at its
head, rounded down to the hop at its tail. A tile therefore leaves a window exactly once, at a time known when it enters.
"""

from __future__ import annotations

import datetime as dt
import functools
import zoneinfo
from dataclasses import dataclass
from enum import Enum

FIVE_MINUTES_MS = 300_000
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
EPOCH = dt.date(1970, 1, 1)


class Hop(Enum):
    """Tile length in ms; None is the store-local day, whose length varies."""

    FIVE_MINUTES = FIVE_MINUTES_MS
    HOUR = HOUR_MS
    DAY = None


@dataclass(frozen=True, slots=True)
class Window:
    """A rolling window of `hops` whole tiles and the running one."""

    name: str
    hop: Hop
    hops: int


WINDOWS = {
    window.name: window
    for window in (
        Window("1h", Hop.FIVE_MINUTES, 12),
        Window("24h", Hop.HOUR, 24),
        Window("today", Hop.DAY, 0),
        Window("7d", Hop.DAY, 7),
        Window("28d", Hop.DAY, 28),
    )
}
SAME_HOUR_WEEKS = 4  # how many weeks back "the same hour" looks


class Calendar:
    """The local days of one time zone. Day numbers count local days from 1970-01-01."""

    def __init__(self, time_zone: str) -> None:
        self.zone = zoneinfo.ZoneInfo(time_zone)
        self._day_of_quarter = functools.lru_cache(maxsize=65_536)(self._local_day)
        self.day_start = functools.lru_cache(maxsize=65_536)(self._day_start)

    def day(self, time_ms: int) -> int:
        """The local day of an instant."""
        return self._day_of_quarter(time_ms // 900_000)  # every zone's offset since 1972 is a multiple of 15 minutes

    def tile(self, hop: Hop, time_ms: int) -> int:
        """The index of the tile that holds an instant."""
        return self.day(time_ms) if hop.value is None else time_ms // hop.value

    def tile_start(self, hop: Hop, index: int) -> int:
        """The first instant of a tile, ms."""
        return self.day_start(index) if hop.value is None else index * hop.value

    def window_start(self, window: Window, as_of: int) -> int:
        """The first instant that a window covers as of an instant, ms."""
        return self.tile_start(window.hop, self.tile(window.hop, as_of) - window.hops)

    def _local_day(self, quarter: int) -> int:
        local = dt.datetime.fromtimestamp(quarter * 900, self.zone)
        return (local.date() - EPOCH).days

    def _day_start(self, day: int) -> int:
        date = EPOCH + dt.timedelta(days=day)
        midnight = dt.datetime(date.year, date.month, date.day, tzinfo=self.zone)
        guess = int(midnight.timestamp() * 1000)
        # Where clocks spring forward at midnight, 00:00 does not exist and Python's reading of it is still the day before.
        return guess if self._local_day(guess // 900_000) == day else self._first_quarter_of(day, guess)

    def _first_quarter_of(self, day: int, near: int) -> int:
        quarter = near // 900_000 - 12
        while self._local_day(quarter) < day:
            quarter += 1
        return quarter * 900_000


@functools.lru_cache(maxsize=1024)
def calendar(time_zone: str) -> Calendar:
    """The calendar of a zone; one object per zone, since it caches."""
    return Calendar(time_zone)


class StoreCalendars:
    """The calendar of each store: its own zone where the settings name one, else the chain's."""

    def __init__(self, chain_zone: str, store_zones: dict[str, str] | None = None) -> None:
        self.chain_zone = chain_zone
        self.store_zones = dict(store_zones or {})

    def zone(self, store_id: str) -> str:
        """The IANA name of a store's zone."""
        return self.store_zones.get(store_id, self.chain_zone)

    def of(self, store_id: str) -> Calendar:
        """The calendar of a store."""
        return calendar(self.zone(store_id))
