"""The packed states of a partition's keys in memory, by the numbers of the keys, as far as there is room.

A key that was not stored when the partition began has no state but the one that is kept here: the store is not asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import cast

from streams.key_table import KeyTable

MOST_BYTES = 1 << 30  # of a view: one worker may have all partitions
OBJECT_BYTES = 56  # of each state beside its own bytes, most often: the head of its object, its place in the list, what is left
Load = Callable[[Sequence[bytes]], Sequence[bytes | None]]  # the stored states of stored keys; None where there is none


class StateCache:
    """States by key; None where one is in the store only. Of all `partitions` together there may be MOST_BYTES."""

    def __init__(self, table: KeyTable, load: Load, partitions: int) -> None:
        self._table, self._load = table, load
        self._most_bytes = MOST_BYTES // partitions
        self._states: list[bytes | None] = []
        self._bytes = 0

    def get(self, numbers: Sequence[int]) -> list[bytes]:
        """The states of keys; b"" where nothing was heard of one. What is in the store only is kept from now on."""
        self._grow()
        kept = self._states
        states = list(map(kept.__getitem__, numbers))
        lacking = [at for at, state in enumerate(states) if state is None]
        if lacking:
            stored = self._load([self._table.stored[numbers[at]] for at in lacking])
            for at, raw in zip(lacking, stored, strict=True):
                states[at] = kept[numbers[at]] = raw or b""
                self._bytes += OBJECT_BYTES + len(raw) if raw else 0
        return cast("list[bytes]", states)  # none is lacking any more

    def keep(self, numbers: Sequence[int], states: Collection[bytes]) -> None:
        """Puts states in place of those that different keys had here. Where one is in the store only, ask for it before."""
        self._grow()
        kept = self._states
        before = cast("list[bytes]", list(map(kept.__getitem__, numbers)))
        for number, state in zip(numbers, states, strict=True):
            kept[number] = state
        self._bytes += sum(map(len, states)) - sum(map(len, before)) + OBJECT_BYTES * before.count(b"")

    @property
    def is_full(self) -> bool:
        """Whether more is here than should be."""
        return self._bytes > self._most_bytes

    def forget(self) -> None:
        """Lets go of all states. Those that were kept must be in the store."""
        self._states, self._bytes = [None] * len(self._table), 0

    def _grow(self) -> None:
        self._states += [b""] * (len(self._table) - len(self._states))
