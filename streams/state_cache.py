"""The packed states of a partition's keys in memory, by the numbers of the keys, as far as there is room.

They lie in one array, each behind those that were kept before it, without an object for each: with a million keys these cost more
than what is done to the states. Where the array is full, what was replaced is left out.

A key that was not stored when the partition began has no state but the one that is kept here: the store is not asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from featurestore.pieces import Bytes, Ints, Pieces, copy, cut, pieces
from streams.key_table import KeyTable, by_number

MOST_BYTES = 1 << 30  # of a view: one worker may have all partitions
LEAST_BYTES = 1 << 16  # of the array: so much is not worth being asked for often
IN_STORE = -1  # in place of where a state ends
Load = Callable[[Sequence[bytes]], Sequence[bytes | None]]  # the stored states of stored keys; None where there is none


class StateCache:
    """States by key; of all `partitions` together there may be MOST_BYTES."""

    def __init__(self, table: KeyTable, load: Load, partitions: int) -> None:
        self._table, self._load = table, load
        self._most_bytes = MOST_BYTES // partitions
        self._raw: Bytes = np.empty(0, np.uint8)
        self._used = self._replaced = 0  # bytes: of the array, and of these of states that have another one by now
        self._starts: Ints = np.zeros(0, np.int64)  # of each key's state in the array
        self._ends: Ints = np.zeros(0, np.int64)

    def get(self, numbers: Ints) -> Pieces:
        """The states of keys; nothing where nothing was heard of one. What is in the store only is kept from now on."""
        self._grow()
        lacking = np.unique(numbers[self._ends[numbers] == IN_STORE])
        if len(lacking):
            stored = self._load(cut(self._table.stored(lacking)))
            self._starts[lacking] = self._ends[lacking] = 0
            self.keep(lacking, pieces([raw or b"" for raw in stored]))
        return self._states().some(numbers)

    def keep(self, numbers: Ints, states: Pieces) -> None:
        """Puts states in place of those that different keys had here. Where one is in the store only, ask for it before."""
        self._grow()
        sizes = states.ends - states.starts
        self._replaced += int((self._ends[numbers] - self._starts[numbers]).sum())
        self._starts[numbers] = self._ends[numbers] = 0
        self._make_room(int(sizes.sum()))
        copy(states, self._raw, self._used)
        ends = self._used + np.cumsum(sizes)
        self._starts[numbers], self._ends[numbers] = ends - sizes, ends
        self._used += int(sizes.sum())

    @property
    def is_full(self) -> bool:
        """Whether more is here than should be."""
        return len(self._raw) > self._most_bytes

    def forget(self) -> None:
        """Lets go of all states. Those that were kept must be in the store."""
        self._raw, self._used, self._replaced = np.empty(0, np.uint8), 0, 0
        count = len(self._table)  # a batch that is decoded meanwhile may add to it
        self._starts, self._ends = np.zeros(count, np.int64), np.full(count, IN_STORE, np.int64)

    def _make_room(self, size: int) -> None:
        """Has room for so many bytes more: for twice as many as the states take then, where an array has to be made."""
        if self._used + size <= len(self._raw):
            return
        known = np.flatnonzero(self._ends > 0)
        kept = self._states().some(known)
        left = self._used - self._replaced
        self._raw = np.empty(max(LEAST_BYTES, 2 * (left + size)), np.uint8)
        copy(kept, self._raw, 0)
        sizes = kept.ends - kept.starts
        self._ends[known] = np.cumsum(sizes)
        self._starts[known] = self._ends[known] - sizes
        self._used, self._replaced = left, 0

    def _states(self) -> Pieces:
        return Pieces(self._raw, self._starts, self._ends)

    def _grow(self) -> None:
        """Knows of the keys that came up since. None of them has a state yet."""
        count = len(self._table)
        self._starts, self._ends = by_number(self._starts, count, 0), by_number(self._ends, count, 0)
