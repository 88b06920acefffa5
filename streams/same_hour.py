"""Units by the hour over the last weeks, and what of them fell into the same hour of the week as an instant.

The ring is the units sold by the index of their hour tile; only hours with a sale are there. Four weeks of hours with a whole
tile each would be most of a state, so that this ring keeps one number.
"""

from __future__ import annotations

from bisect import bisect_right

from contracts.windows import HOUR_MS, Calendar

UnitsByHour = dict[int, int]
HOURS_AHEAD = 25  # a local day at its longest: what comes into view later does so after the next midnight
_SLACK_HOURS = 2  # where clocks go back, the same hour of a week before lies an hour earlier than the day before said


NOTHING = (0, None)


def add_to(ring: UnitsByHour, hour: int, units: int) -> None:
    """Adds the units of one sale to its hour."""
    if units:
        ring[hour] = ring.get(hour, 0) + units


def read(ring: UnitsByHour, as_of: int, day: int, calendar: Calendar) -> tuple[int, int | None]:
    """The units of the same hours as of an instant, on its local day, and when they next change within that day, ms (None: they
    do not). Hours that no later instant looks back at are dropped: time does not go back."""
    if not ring:
        return NOTHING
    back = calendar.weeks_back(day)
    if min(ring) > (as_of - back[0]) // HOUR_MS + HOURS_AHEAD:
        return NOTHING
    hours = sorted(ring)
    oldest = (as_of - back[-1]) // HOUR_MS - _SLACK_HOURS
    if hours[0] < oldest:
        for hour in hours:
            if hour >= oldest:
                break
            del ring[hour]
        hours = sorted(ring)
    units, changes_at = 0, None
    for shift in back:
        now = (as_of - shift) // HOUR_MS
        at = bisect_right(hours, now)
        if at and hours[at - 1] == now:
            units += ring[now]
            change = (now + 1) * HOUR_MS + shift
        elif at < len(hours):
            change = hours[at] * HOUR_MS + shift
        else:
            continue
        if changes_at is None or change < changes_at:
            changes_at = change
    return units, changes_at
