"""When things change by themselves: each has one time, the earliest that it was given, until that has come."""

from __future__ import annotations

import numpy as np

from featurestore.pieces import Ints
from streams.key_table import by_number

NEVER = 2**62


class Schedule:
    """Things by the time (ms) at which each is due. They are known by numbers from 0 on, of which there are not many unused."""

    def __init__(self) -> None:
        self._at = np.zeros(0, np.int64)

    def clear(self) -> None:
        """Forgets all times."""
        self._at = np.zeros(0, np.int64)

    def note(self, numbers: Ints, times: Ints) -> None:
        """Has each be due at its time, unless it is earlier anyway. NEVER: no time is known."""
        if len(numbers):
            self._at = by_number(self._at, int(numbers.max()) + 1, NEVER)
        np.minimum.at(self._at, numbers, times)

    def due(self, now: int, most: int | None = None) -> Ints:
        """Up to so many of those that are due, the longest first; they have no time any more then."""
        found = np.flatnonzero(self._at <= now)
        longest = found[np.argsort(self._at[found], kind="stable")][:most]
        self._at[longest] = NEVER
        return longest
