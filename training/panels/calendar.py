"""How a panel's periods lie in the week and the year."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

YEAR_PERIODS = {"D": 364, "W": 52}  # whole weeks, so that a day meets its weekday
WINDOWS = {"D": (7, 14, 28, 56, 112), "W": (4, 8, 13, 26, 52)}
RECENT = {"D": 28, "W": 8}  # the level of now
LONG = {"D": 112, "W": 52}
SHORT_SEASON = 14  # a longer season than this is met too rarely for means over its repetitions


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Lengths in periods: the year, the short season (0 where there is none), the windows."""

    freq: str
    season: int
    year: int
    windows: tuple[int, ...]
    recent: int
    long: int

    @staticmethod
    def of(freq: str, season_length: int) -> Rhythm:
        """The rhythm of days or weeks."""
        short = season_length if 1 < season_length <= SHORT_SEASON else 0
        return Rhythm(freq, short, YEAR_PERIODS[freq], WINDOWS[freq], RECENT[freq], LONG[freq])


def day_features(day: dt.date, freq: str) -> dict[str, float]:
    """What the calendar says of a period: numbers that trees can cut."""
    middle = day if freq == "D" else day + dt.timedelta(days=3)
    year = {"week_of_year": float(middle.timetuple().tm_yday // 7), "day_of_month": float(middle.day)}
    return {"weekday": float(day.weekday()), **year} if freq == "D" else year
