"""Rings of tiles: adding to them, and the one pass that gives every window's sums, and when the first tile leaves a window.

A ring is the tiles of one hop, the newest first, one for each category that sold in it; only those with a sale are there. Windows
of a hop are nested, so a walk from the newest tile to the oldest finishes each of them on its way.
"""

from __future__ import annotations

import itertools

import numpy as np

from contracts.windows import WINDOWS, Hop
from featurestore.compiled import compiled
from featurestore.pieces import Ints
from streams.packing import FIRST, INDEX, SLOT, TILE, VALUES
from streams.schedule import NEVER

# Windows by hop, the shortest first: the order in which a reading gives their sums.
_ORDERED = [sorted((w for w in WINDOWS.values() if w.hop is hop), key=lambda window: window.hops) for hop in Hop]
SLOTS = {window.name: slot for slot, window in enumerate(itertools.chain(*_ORDERED))}  # where a window's sums stand
HOPS = np.array([window.hops for window in itertools.chain(*_ORDERED)], np.int64)  # their lengths in that order
BOUNDS = np.cumsum([0, *map(len, _ORDERED)])  # and where those of each hop begin and end


@compiled
def add(ring: Ints, count: int, index: int, slot: int, values: Ints, sign: int) -> int:
    """Adds values, or takes them out where `sign` is -1, to the tile of an index and a slot. Returns how many tiles there are."""
    at = 0
    while at < count and (ring[at, INDEX] > index or (ring[at, INDEX] == index and ring[at, SLOT] < slot)):
        at += 1
    is_new = at == count or ring[at, INDEX] != index or ring[at, SLOT] != slot
    if is_new:
        for place in range(count, at, -1):
            ring[place] = ring[place - 1]
        ring[at, INDEX], ring[at, SLOT] = index, slot
        ring[at, FIRST:TILE] = 0
    for value in range(VALUES):
        ring[at, FIRST + value] += sign * values[value]
    return count + is_new


@compiled
def read(ring: Ints, count: int, running: int, hops: Ints, sums: Ints) -> tuple[int, int]:
    """Fills in the sums of the windows of one hop, the shortest first, as of the running tile. Returns how many tiles some window
    covers, the first ones, and the index of the running tile when the first of them leaves a window (NEVER: there is none).
    """
    at, leaves = 0, NEVER
    for window in range(len(hops)):
        for value in range(VALUES):
            sums[window, value] = sums[window - 1, value] if window else 0
        while at < count and running - ring[at, INDEX] <= hops[window]:
            for value in range(VALUES):
                sums[window, value] += ring[at, FIRST + value]
            at += 1
        if at:
            leaves = min(leaves, ring[at - 1, INDEX] + hops[window] + 1)
    return at, leaves
