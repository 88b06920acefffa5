"""When things change by themselves: each has one time, the earliest that it was given, until that has come."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Generic, TypeVar

NEVER = 2**63
K = TypeVar("K", bound=tuple[str, ...])


class Schedule(Generic[K]):
    """Keys by the time (ms) at which each is due."""

    def __init__(self) -> None:
        self._at: dict[K, int] = {}
        self._heap: list[tuple[int, K]] = []

    def clear(self) -> None:
        """Forgets all times."""
        self._at.clear()
        self._heap.clear()

    def note(self, keys: Iterable[K], times: Iterable[int | None]) -> None:
        """Has each key be due at its time, unless it is earlier anyway. None: no time is known."""
        known = self._at
        for key, at in zip(keys, times, strict=True):
            if at is not None and at < known.get(key, NEVER):
                known[key] = at
                heapq.heappush(self._heap, (at, key))

    def next_due(self, now: int) -> K | None:
        """The key that has been due the longest, which has no time any more then; None where none is due."""
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:  # else it was given an earlier time since
                del self._at[key]
                return key
        return None
