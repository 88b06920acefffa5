"""Units by the hour over the last weeks, and what of them fell into the same hour of the week as an instant.

They are hours with their units, the newest first; only hours with a sale are there. Four weeks of hours with a whole tile each
would be most of a state, so that here is one number.
"""

from __future__ import annotations

from contracts.windows import HOUR_MS, SAME_HOUR_WEEKS
from featurestore.compiled import compiled
from featurestore.pieces import Ints
from streams.days import Starts, start_of
from streams.schedule import NEVER

_SLACK_HOURS = 2  # where clocks go back, the same hour of a week before lies an hour earlier than the day before said


@compiled
def add(hours: Ints, count: int, hour: int, units: int) -> int:
    """Adds the units of one sale to its hour. Returns how many hours there are."""
    if units == 0:
        return count
    at = 0
    while at < count and hours[at, 0] > hour:
        at += 1
    is_new = at == count or hours[at, 0] != hour
    if is_new:
        for place in range(count, at, -1):
            hours[place] = hours[place - 1]
        hours[at, 0], hours[at, 1] = hour, 0
    hours[at, 1] += units
    return count + is_new


@compiled
def read(hours: Ints, count: int, as_of: int, day: int, starts: Starts) -> tuple[int, int, int]:
    """The units of the same hours as of an instant, on its local day; when they next change within that day, ms (NEVER: they do
    not); and how many hours, the first ones, later instants look back at.

    The same hour of a week before is as far from its day's start as the instant is from its own: the same local time, but on a
    day on which the clocks change.
    """
    units, changes_at, kept = 0, NEVER, count
    today = start_of(starts, day)
    for weeks in range(1, SAME_HOUR_WEEKS + 1):
        shift = today - start_of(starts, day - 7 * weeks)
        now = (as_of - shift) // HOUR_MS
        if weeks == SAME_HOUR_WEEKS:
            while kept and hours[kept - 1, 0] < now - _SLACK_HOURS:
                kept -= 1
        at = 0  # of the oldest hour after the one that is now
        while at < count and hours[at, 0] > now:
            at += 1
        if at < count and hours[at, 0] == now:
            units += hours[at, 1]
            changes_at = min(changes_at, (now + 1) * HOUR_MS + shift)
        elif at:
            changes_at = min(changes_at, hours[at - 1, 0] * HOUR_MS + shift)
    return units, changes_at, kept
