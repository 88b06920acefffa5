"""Many states in one compiled call: the sales of a batch taken in, time moved on, rows' numbers read, and sums over states.

States come and go packed, as pieces of an array. What a batch says comes as `receipts.Told`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featurestore.compiled import compiled
from featurestore.pieces import Bytes, Ints, Pieces
from streams import receipts as told_as
from streams import state as one
from streams import tiles
from streams.days import Starts, Zones, day_of
from streams.packing import (
    AS_OF,
    COMPLETE,
    FIRST,
    HEARD,
    INDEX,
    NO_CATEGORY,
    OFFSET,
    PACKED,
    RINGS,
    SLOT,
    TILE,
    TILES,
    VALUES,
    State,
    get,
    pack,
    packed_size,
    room,
    unpack,
)
from streams.receipts import CATEGORY, EVENT_TIME, OF_RECEIPT, PROMOTED, QUANTITY, UNIT_PRICE, Told

CONTINUED = -1  # the verdict on a line of a sale that has had its own with an earlier line
ANY_SLOT = -1
# Columns of the facts of a state: the packed ones of its head, and then
DUE, SAME_HOUR = range(PACKED, PACKED + 2)
FACTS = PACKED + 2
_MORE = 1 << 16  # bytes of room made beyond what is needed


class Read(NamedTuple):
    """Some states settled: they themselves, the facts of each, and its sums by window."""

    states: Pieces
    facts: Ints
    sums: Ints


@compiled
def take(states: Pieces, told: Told, zones: Zones, lateness: int) -> tuple[Ints, Read, Ints, Ints]:
    """Takes the sales of a batch into the states of its keys, and settles them as `settle` does while they are unpacked.

    Returns the keys that are touched, and these settled; the verdict on each line (that on its sale with the sale's first line,
    CONTINUED with its others), and for the first line of each sale that was applied its values and the number of its category.
    """
    keys = len(states.ends)
    touched, count = np.empty(keys, np.int64), 0
    facts, sums = _unread(keys)
    verdicts = np.full(len(told.lines), CONTINUED, np.int64)
    sales = np.zeros((len(told.lines), VALUES + 1), np.int64)
    state = room(_longest(states), _most(told.key_from), len(told.categories.raw), len(told.categories.ends))
    out, ends = np.empty(_size(states) + _MORE, np.uint8), np.zeros(keys + 1, np.int64)
    for key in range(keys):
        unpack(states.raw, states.starts[key], states.ends[key], state)
        starts = zones.starts[zones.of_key[key]]
        begin, end = told.key_from[key], told.key_from[key + 1]
        is_touched = False
        while begin < end:
            upto = _end_of_sale(told, begin, end)
            line = told.order[begin]
            verdicts[line] = _take_sale(state, told, told.order[begin:upto], starts, lateness, sales[line])
            is_touched |= verdicts[line] == one.APPLIED or verdicts[line] == one.REPLAYED
            begin = upto
        if is_touched:
            _read(state, starts, lateness, facts[count], sums[count])
            out = _append(state, out, ends, count)
            touched[count] = key
            count += 1
    return touched[:count], Read(_made(out, ends, count), facts[:count], sums[:count]), verdicts, sales


@compiled
def advance(states: Pieces, now: int) -> Pieces:
    """Moves the as-of time of states on to an instant (ms) without an event; never back."""
    keys = len(states.ends)
    state = room(_longest(states), 0, 0, 0)
    out, ends = np.empty(_size(states) + _MORE, np.uint8), np.zeros(keys + 1, np.int64)
    for key in range(keys):
        unpack(states.raw, states.starts[key], states.ends[key], state)
        state.head[AS_OF] = max(state.head[AS_OF], now)
        out = _append(state, out, ends, key)
    return _made(out, ends, keys)


@compiled
def complete(states: Pieces, offset: int) -> Pieces:
    """Marks states as made of all events up to an offset."""
    keys = len(states.ends)
    state = room(_longest(states), 0, 0, 0)
    out, ends = np.empty(_size(states) + _MORE, np.uint8), np.zeros(keys + 1, np.int64)
    for key in range(keys):
        unpack(states.raw, states.starts[key], states.ends[key], state)
        state.head[OFFSET] = state.head[COMPLETE] = offset
        out = _append(state, out, ends, key)
    return _made(out, ends, keys)


@compiled
def heads(states: Pieces) -> Ints:
    """The as-of time, the offset and the offset `complete` of states, one a row; -1 each of the state of an unknown key."""
    found = np.full((len(states.ends), HEARD), -1, np.int64)
    for key in range(len(states.ends)):
        at = states.starts[key]
        if at < states.ends[key]:
            for place in (AS_OF, OFFSET, COMPLETE):
                found[key, place], at = get(states.raw, at)
                found[key, place] -= 1
    return found


@compiled
def settle(states: Pieces, zones: Zones, lateness: int) -> Read:
    """Drops from states what they no longer need, and reads them."""
    keys = len(states.ends)
    facts, sums = _unread(keys)
    state = room(_longest(states), 0, 0, 0)
    out, ends = np.empty(_size(states) + _MORE, np.uint8), np.zeros(keys + 1, np.int64)
    for key in range(keys):
        unpack(states.raw, states.starts[key], states.ends[key], state)
        _read(state, zones.starts[zones.of_key[key]], lateness, facts[key], sums[key])
        out = _append(state, out, ends, key)
    return Read(_made(out, ends, keys), facts, sums)


@compiled
def _unread(keys: int) -> tuple[Ints, Ints]:
    """Room for the facts of states, and for the sums of each of their windows."""
    return np.empty((keys, FACTS), np.int64), np.empty((keys, len(tiles.HOPS), VALUES), np.int64)


@compiled
def _read(state: State, starts: Starts, lateness: int, facts: Ints, sums: Ints) -> None:
    facts[SAME_HOUR], facts[DUE] = one.settle(state, starts, lateness, sums)
    facts[:PACKED] = state.head[:PACKED]


@compiled
def add_sales(sums: Pieces, added: Ints, added_from: Ints, told: Told, sales: Ints, zones: Zones) -> Pieces:
    """Adds sales to sums. Those of sum `n` are the lines `added[added_from[n]:added_from[n + 1]]`, each the first of its sale."""
    count = len(sums.ends)
    state = room(_longest(sums), _most(added_from), 0, 0)
    out, ends = np.empty(_size(sums) + _MORE, np.uint8), np.zeros(count + 1, np.int64)
    for number in range(count):
        unpack(sums.raw, sums.starts[number], sums.ends[number], state)
        starts = zones.starts[zones.of_key[number]]
        for at in range(added_from[number], added_from[number + 1]):
            receipt = told.receipts[told.lines[added[at], OF_RECEIPT]]
            event_time = receipt[EVENT_TIME]
            one.add(state, event_time, day_of(starts, event_time), NO_CATEGORY, sales[added[at], :VALUES])
            state.head[AS_OF] = max(state.head[AS_OF], event_time)
            state.head[OFFSET] = max(state.head[OFFSET], receipt[told_as.OFFSET])  # another product may be ahead, after a crash
        out = _append(state, out, ends, number)
    return _made(out, ends, count)


@compiled
def add_states(sums: Pieces, added: Ints, added_from: Ints, slots: Ints, states: Pieces, sign: int) -> Pieces:
    """Adds states to sums, or takes them out where `sign` is -1.

    In sum `n` are the states `added[added_from[n]:added_from[n + 1]]`, of each the tiles of the slot that stands in `slots` at
    the same place.
    """
    count = len(sums.ends)
    longest = _longest(states)
    tiles_at_most = _size(states) // TILE + len(added)
    state, product = room(_longest(sums), tiles_at_most, 0, 0), room(longest, 0, 0, 0)
    out, ends = np.empty(_size(sums) + _MORE, np.uint8), np.zeros(count + 1, np.int64)
    for number in range(count):
        unpack(sums.raw, sums.starts[number], sums.ends[number], state)
        for at in range(added_from[number], added_from[number + 1]):
            unpack(states.raw, states.starts[added[at]], states.ends[added[at]], product)
            _add_state(state, product, slots[at], sign)
        out = _append(state, out, ends, number)
    return _made(out, ends, count)


@compiled
def _add_state(state: State, product: State, slot: int, sign: int) -> None:
    head = state.head
    for ring in range(RINGS):
        for number in range(product.head[TILES + ring]):
            tile = product.rings[ring, number]
            if slot in (ANY_SLOT, tile[SLOT]):
                head[TILES + ring] = tiles.add(
                    state.rings[ring], head[TILES + ring], tile[INDEX], NO_CATEGORY, tile[FIRST:TILE], sign
                )
    for place in (AS_OF, OFFSET, HEARD):
        head[place] = max(head[place], product.head[place])


@compiled
def _take_sale(state: State, told: Told, lines: Ints, starts: Starts, lateness: int, sale: Ints) -> int:
    """Takes the lines of one receipt of one product into its state, and fills in what they add up to. Returns the verdict."""
    number = told.lines[lines[0], OF_RECEIPT]
    receipt = told.receipts[number]
    event_time = receipt[EVENT_TIME]
    verdict = one.admit(state, receipt[told_as.IDENTITY], event_time, receipt[told_as.OFFSET], lateness)
    if verdict != one.APPLIED:
        return verdict
    unit_price = _lift(told, lines, sale)
    category = sale[VALUES]
    categories, ids = told.categories, told.ids
    slot = one.slot_of(state, categories.raw[categories.starts[category] : categories.ends[category]])
    one.add(state, event_time, day_of(starts, event_time), slot, sale[:VALUES])
    one.add_to_weeks(state, event_time, sale[one.UNITS])
    one.note_last(state, event_time, ids.raw[ids.starts[number] : ids.ends[number]], unit_price)
    return verdict


@compiled
def _lift(told: Told, lines: Ints, sale: Ints) -> int:
    """Fills in what the lines of one product on one receipt add up to (SALES_VALUES), and the number of their category.

    Returns the price of the dearest sold line. Where they name several categories, the last by name is that of all.
    """
    unit_price = one.NO_PRICE
    for at in lines:
        line = told.lines[at]
        quantity = line[QUANTITY]
        if quantity > 0:
            sale[0] += quantity
            sale[2] += quantity * line[UNIT_PRICE]
            sale[5] += quantity * line[PROMOTED]
            unit_price = max(unit_price, line[UNIT_PRICE])
        else:
            sale[1] -= quantity
            sale[3] -= quantity * line[UNIT_PRICE]
        if line[CATEGORY] != sale[VALUES] and _is_later(told, line[CATEGORY], sale[VALUES]):
            sale[VALUES] = line[CATEGORY]
    sale[4] = sale[0] > 0
    return unit_price


@compiled
def _is_later(told: Told, category: int, other: int) -> bool:
    raw, starts, ends = told.categories
    return one.compare(raw[starts[category] : ends[category]], raw[starts[other] : ends[other]]) > 0


@compiled
def _end_of_sale(told: Told, begin: int, end: int) -> int:
    """Where the lines of the receipt end whose first line of a key is at `begin`."""
    receipt = told.lines[told.order[begin], OF_RECEIPT]
    upto = begin + 1
    while upto < end and told.lines[told.order[upto], OF_RECEIPT] == receipt:
        upto += 1
    return upto


@compiled
def _most(begin: Ints) -> int:
    """The most members of a group, of groups that begin there, one where the one before it ends."""
    most = 0
    for number in range(len(begin) - 1):
        most = max(most, begin[number + 1] - begin[number])
    return most


@compiled
def _longest(some: Pieces) -> int:
    """The bytes of the longest of some pieces."""
    longest = 0
    for number in range(len(some.ends)):
        longest = max(longest, some.ends[number] - some.starts[number])
    return longest


@compiled
def _size(some: Pieces) -> int:
    """The bytes of all of some pieces."""
    size = 0
    for number in range(len(some.ends)):
        size += some.ends[number] - some.starts[number]
    return size


@compiled
def _append(state: State, out: Bytes, ends: Ints, number: int) -> Bytes:
    """Packs a state behind those before it, and notes its end. Returns the bytes, which may have been moved to more room."""
    out = _with_room(out, ends[number] + packed_size(state))
    ends[number + 1] = pack(state, out, ends[number])
    return out


@compiled
def _made(out: Bytes, ends: Ints, count: int) -> Pieces:
    """The states that were packed, so many. `ends` begins with where the first one begins."""
    return Pieces(out[: ends[count]], ends[:count], ends[1 : count + 1])


@compiled
def _with_room(out: Bytes, needed: int) -> Bytes:
    """The same bytes, with room for so many."""
    if needed <= len(out):
        return out
    larger = np.empty(2 * needed + _MORE, np.uint8)
    larger[: len(out)] = out
    return larger
