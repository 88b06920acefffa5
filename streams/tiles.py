"""Rings of tiles: adding to them, and the one pass that gives every window's sums, and when the first tile leaves a window.

A ring is the tiles of one hop by their index; only those with a sale are there. Windows of a hop are nested, so a walk from the
newest tile to the oldest finishes each of them on its way.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from contracts.aggregates import EMPTY, Tile, merge
from contracts.windows import FIVE_MINUTES_MS, HOUR_MS, WINDOWS, Calendar, Hop

Ring = dict[int, Tile]
HOPS = tuple(Hop)  # the order of a state's rings
LENGTHS = {hop: tuple(sorted(window.hops for window in WINDOWS.values() if window.hop is hop)) for hop in HOPS}
_ORDER = [next(w.name for w in WINDOWS.values() if w.hop is hop and w.hops == hops) for hop in HOPS for hops in LENGTHS[hop]]
SLOT = {name: slot for slot, name in enumerate(_ORDER)}  # where a window's sums stand in a reading


class Reading(NamedTuple):
    """The sums of each window as of an instant, by SLOT, and the first instant (ms) at which a tile leaves one of them."""

    sums: list[Tile]
    leaves_at: int | None


def indexes(calendar: Calendar, time_ms: int) -> tuple[int, ...]:
    """The tile of each hop that holds an instant."""
    return (time_ms // FIVE_MINUTES_MS, time_ms // HOUR_MS, calendar.day(time_ms))


def add_to(rings: Iterable[Ring], at: Iterable[int], values: Tile) -> None:
    """Adds values to one tile of each ring."""
    for ring, index in zip(rings, at, strict=True):
        tile = ring.get(index)
        ring[index] = values if tile is None else merge(tile, values)


def read(rings: Iterable[Ring], calendar: Calendar, as_of: int) -> Reading:
    """The windows as of an instant. Tiles that no window covers any more are dropped: time does not go back."""
    sums: list[Tile] = []
    exits = []
    for ring, now, hop in zip(rings, indexes(calendar, as_of), HOPS, strict=True):
        leaves = _read_ring(ring, now, LENGTHS[hop], sums)
        if leaves is not None:
            exits.append(calendar.tile_start(hop, leaves))
    return Reading(sums, min(exits, default=None))


def _read_ring(ring: Ring, now: int, lengths: tuple[int, ...], sums: list[Tile]) -> int | None:
    """Appends the sums of each window, the shortest first. Returns the index of the running tile when the first one leaves."""
    total = EMPTY
    oldest = leaves = None
    window, hops = 0, lengths[0]
    for index in sorted(ring, reverse=True) if len(ring) > 1 else list(ring):
        while now - index > hops:
            sums.append(total)
            if oldest is not None:
                leaves = oldest + hops + 1 if leaves is None else min(leaves, oldest + hops + 1)
            window += 1
            if window == len(lengths):
                _drop(ring, index)
                return leaves
            hops = lengths[window]
        total = ring[index] if total is EMPTY else merge(total, ring[index])
        oldest = index
    for hops in lengths[window:]:
        sums.append(total)
        if oldest is not None:
            leaves = oldest + hops + 1 if leaves is None else min(leaves, oldest + hops + 1)
    return leaves


def _drop(ring: Ring, newest: int) -> None:
    for index in [index for index in ring if index <= newest]:
        del ring[index]
