"""How far the stream has come in each store: the newest event time seen in its rolling features.

A product that did not sell for days keeps an old row, and that row is right as long as the stream has come further. A store's
events are in one partition, so what any of its rows shows holds for all.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable

from contracts.features import AS_OF, SALES_ROLLING
from featurestore.keys import Key
from featurestore.online import OnlineStore
from serving.features import Row

KEYS_SCANNED = 20_000  # bounds what a look at a large online store costs
SAMPLE = 32  # products remembered per store


class StorePulse:
    """The newest event time per store (ms), from the rows that requests read and from a sample that is read in between."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}

    def observe(self, store_id: str, rows: Iterable[Row | None]) -> int:
        """Takes note of a store's rolling rows; its newest event time so far, 0 where none was seen."""
        seen = max((row[AS_OF] for row in rows if row is not None), default=0)
        with self._lock:
            newest = max(self._newest.get(store_id, 0), seen)
            if newest:
                self._newest[store_id] = newest
            return newest

    def newest(self) -> int | None:
        """The newest event time over all stores, ms; None where nothing was seen."""
        with self._lock:
            return max(self._newest.values(), default=None)

    def refresh(self, online: OnlineStore) -> None:
        """Reads a sample of every store that a bounded scan finds. Raises DependencyUnavailable. Blocks."""
        sample: dict[str, list[Key]] = {}
        for key in itertools.islice(online.scan(SALES_ROLLING.name), KEYS_SCANNED):
            keys = sample.setdefault(key[0], [])
            if len(keys) < SAMPLE:
                keys.append(key)
        for store_id, keys in sample.items():
            self.observe(store_id, online.read(SALES_ROLLING.name, keys))
