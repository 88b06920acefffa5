"""The kernel of `sales_rolling`: tiles of one store × product, and what windows over them give.

Pure: sales and times in, integers out. A window is exact at its head (all events up to the as-of time) and rounded down to its
hop at its tail. A tile leaves each window once, at a time known beforehand: `settle` says when the row next changes by itself.
"""

from __future__ import annotations

from contracts.windows import DAY_MS, FIVE_MINUTES_MS, HOUR_MS, Hop
from featurestore.compiled import compiled
from featurestore.pieces import Bytes, Ints
from streams import same_hour, tiles
from streams.days import Starts, day_of, start_of
from streams.packing import (
    AS_OF,
    HEARD,
    ID_LENGTH,
    LAST_MS,
    LAST_PRICE,
    NAMES,
    NO_CATEGORY,
    OFFSET,
    SEEN,
    TILES,
    WEEKS,
    State,
)
from streams.schedule import NEVER

SILENT_DAYS = 364  # a series without any event for so long is given up: its row is no longer refreshed every day
NO_PRICE = -1
APPLIED, DUPLICATE, LATE, REPLAYED = range(4)  # what a sale is to a key
FIVE_MINUTES, HOUR, DAY = range(len(Hop))
UNITS = 0  # the place of units sold among the values of a tile


@compiled
def admit(state: State, identity: int, event_time: int, offset: int, lateness: int) -> int:
    """What a sale is to this state; `identity` is the digest of its id. Where it is APPLIED, the state has moved on.

    The offset fence, the ids seen and what they protect are one record, written at once: after a crash at any point an event that
    is read again changes nothing.
    """
    head, seen = state.head, state.seen
    if offset <= head[OFFSET]:
        return REPLAYED
    if event_time < head[AS_OF] - lateness:
        return LATE
    for number in range(head[SEEN]):
        if seen[number, 0] == identity:
            return DUPLICATE
    head[OFFSET] = offset
    seen[head[SEEN], 0], seen[head[SEEN], 1] = identity, event_time
    head[SEEN] += 1
    head[AS_OF] = max(head[AS_OF], event_time)
    return APPLIED


@compiled
def add(state: State, event_time: int, local_day: int, slot: int, values: Ints) -> None:
    """Adds the values of a sale, sold under the category of a slot, to the tiles that hold its time."""
    head = state.head
    indexes = (event_time // FIVE_MINUTES_MS, event_time // HOUR_MS, local_day)
    for ring in range(len(indexes)):
        head[TILES + ring] = tiles.add(state.rings[ring], head[TILES + ring], indexes[ring], slot, values, 1)
    head[HEARD] = max(head[HEARD], event_time)


@compiled
def add_to_weeks(state: State, event_time: int, units: int) -> None:
    """Adds the units of a sale to the hours of the last weeks."""
    state.head[WEEKS] = same_hour.add(state.weeks, state.head[WEEKS], event_time // HOUR_MS, units)


@compiled
def note_last(state: State, event_time: int, event_id: Bytes, unit_price: int) -> None:
    """Keeps a sale where it is the latest: by time, then id, then price, so that arrival order does not matter."""
    head = state.head
    if unit_price == NO_PRICE or event_time < head[LAST_MS]:
        return
    if event_time == head[LAST_MS]:
        order = compare(event_id, state.last_id[: head[ID_LENGTH]])
        if order < 0 or (order == 0 and unit_price <= head[LAST_PRICE]):
            return
    head[LAST_MS], head[LAST_PRICE], head[ID_LENGTH] = event_time, unit_price, len(event_id)
    state.last_id[: len(event_id)] = event_id


@compiled
def compare(one: Bytes, other: Bytes) -> int:
    """-1, 0 or 1 as one text is before the other, the same or after it. UTF-8 is in the order of its characters."""
    for place in range(min(len(one), len(other))):
        if one[place] != other[place]:
            return -1 if one[place] < other[place] else 1
    return (len(one) > len(other)) - (len(one) < len(other))


@compiled
def slot_of(state: State, name: Bytes) -> int:
    """The slot of a category; a new one where nothing was sold under it yet."""
    if len(name) == 0:
        return NO_CATEGORY
    start = 0
    count: int = state.head[NAMES]
    for slot in range(1, count + 1):
        end = state.name_ends[slot]
        if compare(state.names[start:end], name) == 0:
            return slot
        start = end
    state.names[start : start + len(name)] = name
    state.name_ends[count + 1] = start + len(name)
    state.head[NAMES] = count + 1
    return count + 1


@compiled
def settle(state: State, starts: Starts, lateness: int, sums: Ints) -> tuple[int, int]:
    """Drops what neither a window nor a repetition as of now or later needs, and fills in the sums of each window.

    Returns the units of the same hours, and the first instant (ms) at which the row changes with no event; NEVER: it does not.

    That is when the oldest tile leaves a window, when another hour of the last weeks becomes the same hour, or the next local
    midnight, at which an unchanged row too is written again so that its age shows a living writer, not a dead one.
    """
    head = state.head
    as_of = head[AS_OF]
    _forget(state, as_of - lateness)
    day = day_of(starts, as_of)
    due = NEVER if as_of - head[HEARD] >= SILENT_DAYS * DAY_MS else start_of(starts, day + 1)
    running = (as_of // FIVE_MINUTES_MS, as_of // HOUR_MS, day)
    for ring in range(len(running)):
        begin, end = tiles.BOUNDS[ring], tiles.BOUNDS[ring + 1]
        kept, leaves = tiles.read(state.rings[ring], head[TILES + ring], running[ring], tiles.HOPS[begin:end], sums[begin:end])
        head[TILES + ring] = kept
        if leaves != NEVER:
            due = min(due, _start(starts, ring, leaves))
    units, changes_at, head[WEEKS] = same_hour.read(state.weeks, head[WEEKS], as_of, day, starts)
    return units, min(due, changes_at)


@compiled
def _start(starts: Starts, ring: int, index: int) -> int:
    """The first instant of a tile, ms."""
    if ring == DAY:
        return start_of(starts, index)
    return index * (HOUR_MS if ring == HOUR else FIVE_MINUTES_MS)


@compiled
def _forget(state: State, oldest: int) -> None:
    """Drops the ids whose repetition would be late, as they are from before the oldest instant."""
    kept = 0
    for number in range(state.head[SEEN]):
        if state.seen[number, 1] >= oldest:
            state.seen[kept] = state.seen[number]
            kept += 1
    state.head[SEEN] = kept
