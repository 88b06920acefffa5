"""The state of one store × product, packed into bytes as it is stored, and unpacked into arrays for compiled code to work on.

Packed is a sequence of LEB128 numbers (7 bits a byte, low ones first; 64-bit two's complement), with texts as their length and
their UTF-8 bytes: HEAD without its counts, the id of the latest sale, the names of the categories, the ids seen, the three rings
of tiles and the hours of the last weeks, each newest first and as the distance to the one before. Equal states are equal bytes.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from contracts.aggregates import SALES_VALUES
from contracts.windows import Hop
from featurestore.compiled import compiled
from featurestore.pieces import Bytes, Ints

# Places in HEAD. `as_of` is the event time (ms) that the state stands at, `offset` that of the last event applied; all events up
# to the offset `complete` are in it, late ones too: it was made anew from the archive then. `heard` is the latest event time;
# `last_ms` and `last_price` are those of the latest sale, whose id is `last_id`; -1 for what there is not yet. Then counts.
AS_OF, OFFSET, COMPLETE, HEARD, LAST_MS, LAST_PRICE = range(6)
PACKED = 6  # so many of HEAD are packed; the counts come with what they count
ID_LENGTH, NAMES, SEEN, WEEKS, TILES = range(6, 11)  # and two more for the tiles of the other rings
HEAD = TILES + len(Hop)
RINGS = len(Hop)
VALUES = len(SALES_VALUES)
INDEX, SLOT, FIRST = 0, 1, 2  # of a tile: its index, the slot of its category, its values
TILE = FIRST + VALUES
NO_CATEGORY = 0  # the slot of what was sold under none; names begin with slot 1
LONGEST_NUMBER = 10  # bytes
IDENTITY = 8  # bytes of the digest of an event id
LONGEST_ID = 512  # bytes of 128 characters


class State(NamedTuple):
    """One state, unpacked. There is room for more than it has.

    `names` are texts end to end, slot `s` from `name_ends[s - 1]` to `name_ends[s]`; `seen` are digests of event ids with their
    event times; `rings` are of the hops in their order, tiles newest first; `weeks` are hours with their units, newest first.
    """

    head: Ints
    last_id: Bytes
    names: Bytes
    name_ends: Ints
    seen: Ints
    rings: Ints
    weeks: Ints


@compiled
def room(packed_bytes: int, sales: int, name_bytes: int, names: int) -> State:
    """An empty state with room for what so many packed bytes can hold, and so many sales and names more."""
    return State(
        np.zeros(HEAD, np.int64),
        np.zeros(LONGEST_ID, np.uint8),
        np.zeros(packed_bytes + name_bytes + 1, np.uint8),
        np.zeros(packed_bytes + names + 2, np.int64),
        np.zeros((packed_bytes // IDENTITY + sales + 1, 2), np.int64),
        np.zeros((RINGS, packed_bytes // TILE + sales + 1, TILE), np.int64),
        np.zeros((packed_bytes // 2 + sales + 1, 2), np.int64),
    )


@compiled
def put(out: Bytes, at: int, number: int) -> int:
    """Packs a number; the place after it."""
    rest = number
    while not 0 <= rest < 128:
        out[at] = (rest & 127) | 128
        rest = (rest >> 7) & 0x01FF_FFFF_FFFF_FFFF  # as of an unsigned number
        at += 1
    out[at] = rest
    return at + 1


@compiled
def get(packed: Bytes, at: int) -> tuple[int, int]:
    """The number packed here, and the place after it."""
    number = shift = 0
    while packed[at] >= 128:
        number |= int(packed[at] & 127) << shift
        shift += 7
        at += 1
    return number | int(packed[at]) << shift, at + 1


@compiled
def unpack(packed: Bytes, start: int, end: int, state: State) -> None:
    """Unpacks the state between two places; nothing there is the state of a key that nothing was heard of."""
    head = state.head
    head[:] = 0
    head[AS_OF] = head[OFFSET] = head[COMPLETE] = head[LAST_MS] = head[LAST_PRICE] = -1
    if start == end:
        return
    at = start
    for place in range(PACKED):
        number, at = get(packed, at)
        head[place] = number - 1
    head[HEARD] += 1
    head[ID_LENGTH], at = get(packed, at)
    for place in range(head[ID_LENGTH]):
        state.last_id[place] = packed[at + place]
    at = _unpack_names(packed, at + head[ID_LENGTH], state)
    at = _unpack_seen(packed, at, state)
    for ring in range(RINGS):
        at = _unpack_ring(packed, at, state, ring)
    _unpack_weeks(packed, at, state)


@compiled
def _unpack_names(packed: Bytes, at: int, state: State) -> int:
    count, at = get(packed, at)
    end = 0
    for slot in range(1, count + 1):
        length, at = get(packed, at)
        for place in range(length):
            state.names[end + place] = packed[at + place]
        at, end = at + length, end + length
        state.name_ends[slot] = end
    state.head[NAMES] = count
    return at


@compiled
def _unpack_seen(packed: Bytes, at: int, state: State) -> int:
    count, at = get(packed, at)
    for number in range(count):
        identity = 0
        for place in range(IDENTITY):
            identity |= int(packed[at + place]) << (8 * place)
        age, at = get(packed, at + IDENTITY)
        state.seen[number, 0], state.seen[number, 1] = identity, state.head[AS_OF] - age
    state.head[SEEN] = count
    return at


@compiled
def _unpack_ring(packed: Bytes, at: int, state: State, ring: int) -> int:
    count, at = get(packed, at)
    before = 0
    for number in range(count):
        tile = state.rings[ring, number]
        distance, at = get(packed, at)
        before = tile[INDEX] = before - distance if number else distance
        for place in range(SLOT, TILE):
            tile[place], at = get(packed, at)
    state.head[TILES + ring] = count
    return at


@compiled
def _unpack_weeks(packed: Bytes, at: int, state: State) -> None:
    count, at = get(packed, at)
    before = 0
    for number in range(count):
        distance, at = get(packed, at)
        before = state.weeks[number, 0] = before - distance if number else distance
        state.weeks[number, 1], at = get(packed, at)
    state.head[WEEKS] = count


@compiled
def packed_size(state: State) -> int:
    """The bytes that a state takes at most."""
    head = state.head
    tiles = head[TILES] + head[TILES + 1] + head[TILES + 2]
    numbers = HEAD + head[NAMES] + head[SEEN] + TILE * tiles + 2 * head[WEEKS]
    texts = head[ID_LENGTH] + state.name_ends[head[NAMES]] * (head[NAMES] > 0)
    size: int = numbers * LONGEST_NUMBER + texts + head[SEEN] * IDENTITY
    return size


@compiled
def pack(state: State, out: Bytes, at: int) -> int:
    """Packs a state; the place after it. There must be room for `packed_size`."""
    head = state.head
    for place in range(PACKED):
        at = put(out, at, head[place] + (place != HEARD))
    at = put(out, at, head[ID_LENGTH])
    for place in range(head[ID_LENGTH]):
        out[at + place] = state.last_id[place]
    at = _pack_names(state, out, at + head[ID_LENGTH])
    at = _pack_seen(state, out, at)
    for ring in range(RINGS):
        at = _pack_ring(state, ring, out, at)
    return _pack_weeks(state, out, at)


@compiled
def _pack_names(state: State, out: Bytes, at: int) -> int:
    at = put(out, at, state.head[NAMES])
    start = 0
    for slot in range(1, state.head[NAMES] + 1):
        end = state.name_ends[slot]
        at = put(out, at, end - start)
        for place in range(start, end):
            out[at + place - start] = state.names[place]
        at, start = at + end - start, end
    return at


@compiled
def _pack_seen(state: State, out: Bytes, at: int) -> int:
    at = put(out, at, state.head[SEEN])
    for number in range(state.head[SEEN]):
        for place in range(IDENTITY):
            out[at + place] = (state.seen[number, 0] >> (8 * place)) & 255
        at = put(out, at + IDENTITY, state.head[AS_OF] - state.seen[number, 1])
    return at


@compiled
def _pack_ring(state: State, ring: int, out: Bytes, at: int) -> int:
    count = state.head[TILES + ring]
    at = put(out, at, count)
    before = 0
    for number in range(count):
        tile = state.rings[ring, number]
        at = put(out, at, before - tile[INDEX] if number else tile[INDEX])
        before = tile[INDEX]
        for place in range(SLOT, TILE):
            at = put(out, at, tile[place])
    return at


@compiled
def _pack_weeks(state: State, out: Bytes, at: int) -> int:
    at = put(out, at, state.head[WEEKS])
    before = 0
    for number in range(state.head[WEEKS]):
        hour = state.weeks[number, 0]
        at = put(out, at, before - hour if number else hour)
        at = put(out, at, state.weeks[number, 1])
        before = hour
    return at


def names(packed: Bytes) -> list[str]:
    """The categories that a packed state was sold under, by their slots from 1 on."""
    state = room(len(packed), 0, 0, 0)
    unpack(packed, 0, len(packed), state)
    ends = state.name_ends[: state.head[NAMES] + 1].tolist()
    return [bytes(state.names[start:end]).decode() for start, end in itertools.pairwise(ends)]
