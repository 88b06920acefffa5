"""When things change by themselves: each has one time, the earliest that it was given, until that has come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streams.packing import Ints

NEVER = 2**62


class Schedule:
    """Things by the time (ms) at which each is due. They are known by numbers from 0 on, of which there are not many unused."""

    def __init__(self) -> None:
        self._at = np.zeros(0, np.int64)

    def clear(self) -> None:
        """Forgets all times."""
        self._at = np.zeros(0, np.int64)

    def note(self, numbers: Sequence[int], times: Ints) -> None:
        """Has each be due at its time, unless it is earlier anyway. NEVER: no time is known."""
        some = np.fromiter(numbers, np.int64, len(numbers))
        if len(some):
            self._grow(int(some.max()) + 1)
        np.minimum.at(self._at, some, times)

    def due(self, now: int, most: int | None = None) -> list[int]:
        """Up to so many of those that are due, the longest first; they have no time any more then."""
        found = np.flatnonzero(self._at <= now)
        longest = found[np.argsort(self._at[found], kind="stable")][:most]
        self._at[longest] = NEVER
        numbers: list[int] = longest.tolist()
        return numbers

    def _grow(self, count: int) -> None:
        """Makes room for so many, and for twice as many as there were."""
        if count > len(self._at):
            grown = np.full(max(count, 2 * len(self._at)), NEVER, np.int64)
            grown[: len(self._at)] = self._at
            self._at = grown
