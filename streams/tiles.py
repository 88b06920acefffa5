"""Rings of tiles: adding to them, and the one pass that gives every window's sums, and when the first tile leaves a window.

A ring is the tiles of one hop by their index; only those with a sale are there. Windows of a hop are nested, so a walk from the
newest tile to the oldest finishes each of them on its way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from operator import sub

from contracts.aggregates import EMPTY, Tile, merge
from contracts.windows import WINDOWS, Calendar, Hop

Ring = dict[int, Tile]
Rings = tuple[Ring, Ring, Ring]  # one of each hop, in the order of Hop
# Windows by hop, the shortest first: the order in which a reading gives their sums.
_ORDERED = [sorted((w for w in WINDOWS.values() if w.hop is hop), key=lambda window: window.hops) for hop in Hop]
_RINGS = [(hop.value, tuple(window.hops for window in windows)) for hop, windows in zip(Hop, _ORDERED, strict=True)]
_NOTHING = [[EMPTY] * windows for windows in range(len(WINDOWS) + 1)]
SLOT = {window.name: slot for slot, window in enumerate(itertools.chain(*_ORDERED))}  # where a window's sums stand


def empty() -> Rings:
    """A ring of each hop without a tile."""
    return ({}, {}, {})


def add_to(rings: Iterable[Ring], at: Iterable[int], values: Tile) -> None:
    """Adds values to one tile of each ring; rings and tiles are in the order of Hop."""
    for ring, index in zip(rings, at):  # noqa: B905  # strict costs as much as the additions
        tile = ring.get(index)
        ring[index] = values if tile is None else merge(tile, values)


def add_all(rings: Iterable[Ring], others: Iterable[Ring]) -> None:
    """Adds the tiles of other rings to those of the same hop."""
    for ring, other in zip(rings, others, strict=True):
        for index, values in other.items():
            tile = ring.get(index)
            ring[index] = values if tile is None else merge(tile, values)


def take_all(rings: Iterable[Ring], others: Iterable[Ring]) -> None:
    """Takes the tiles of other rings out again."""
    for ring, other in zip(rings, others, strict=True):
        for index, values in other.items():
            ring[index] = tuple(map(sub, ring.get(index, EMPTY), values))


def keep(rings: Iterable[Ring], others: Iterable[Ring]) -> None:
    """Drops the tiles that rings of the same hop do not have."""
    for ring, other in zip(rings, others, strict=True):
        for index in ring.keys() - other.keys():
            del ring[index]


def read(rings: Iterable[Ring], now: Iterable[int], calendar: Calendar) -> tuple[list[Tile], int | None]:
    """The sums of each window, by SLOT, and the first instant (ms) at which a tile leaves one of them.

    `now` is the running tile of each hop as of the instant of reading. Tiles that no window covers any more are dropped: time
    does not go back.
    """
    sums: list[Tile] = []
    leaves_at = None
    for ring, running, (hop_ms, lengths) in zip(rings, now, _RINGS):  # noqa: B905  # as above
        leaves = None
        if len(ring) == 1:  # most rings of most products
            ((index, tile),) = ring.items()
            age = running - index
            for hops in lengths:
                if age > hops:
                    sums.append(EMPTY)
                else:
                    sums.append(tile)
                    leaves = index + hops + 1 if leaves is None else leaves
            if leaves is None:
                ring.clear()
        elif ring:
            leaves = _read_many(ring, running, lengths, sums)
        else:
            sums += _NOTHING[len(lengths)]
        if leaves is not None:
            exit_ms = calendar.day_start(leaves) if hop_ms is None else leaves * hop_ms
            if leaves_at is None or exit_ms < leaves_at:
                leaves_at = exit_ms
    return sums, leaves_at


def _read_many(ring: Ring, now: int, lengths: tuple[int, ...], sums: list[Tile]) -> int | None:
    """Appends the sums of each window, the shortest first. Returns the index of the running tile when the first one leaves."""
    newest_first = sorted(ring, reverse=True)
    total, at, leaves, count = EMPTY, 0, None, len(newest_first)
    for hops in lengths:
        first = at
        while at < count and now - newest_first[at] <= hops:
            at += 1
        if at - first == 1:
            total = merge(total, ring[newest_first[first]]) if first else ring[newest_first[first]]
        elif at > first:  # all at once: a store has a tile for most of the hours and days
            total = tuple(map(sum, zip(total, *[ring[index] for index in newest_first[first:at]])))  # noqa: B905  # as above
        sums.append(total)
        if at:
            exit_ = newest_first[at - 1] + hops + 1
            leaves = exit_ if leaves is None or exit_ < leaves else leaves
    for index in newest_first[at:]:
        del ring[index]
    return leaves
