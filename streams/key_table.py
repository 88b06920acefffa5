"""The keys of one partition by number: what is known of each stands in lists and arrays, and is found without hashing texts."""

from __future__ import annotations

import sys
import threading
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from featurestore.key_block import KeyBlock
from featurestore.pieces import Bytes, Ints, Pieces, copy, pieces

Key = tuple[str, str]  # store_id, product_id
Number = TypeVar("Number", bound=np.generic)
SEPARATOR = "\x1f"  # of a stored key's parts: identifiers hold no control character


class KeyTable:
    """The keys in the order in which they first came, by number, with the bytes that each is stored under. None ever goes.

    Threads may ask at the same time: one decodes a batch while another takes the one before.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.stored: list[bytes] = []
        self._written = 0  # so many of `stored` again in one array, as compiled code takes them,
        self._texts: Bytes = np.zeros(0, np.uint8)
        self._places: Ints = np.zeros(1, np.int64)  # where each begins in it, and the last one ends
        self._of_store: dict[str, dict[str, int]] = {}
        self._adding = threading.Lock()

    def __len__(self) -> int:
        return len(self.keys)

    def of_store(self, store_id: str) -> dict[str, int]:
        """The numbers of a store's keys by product_id, to be read only."""
        products = self._of_store.get(store_id)
        return self._of_store.setdefault(sys.intern(store_id), {}) if products is None else products

    def number(self, key: Key) -> int:
        """The number of a key, which gets one where it has none yet."""
        store_id, product_id = key
        products = self.of_store(store_id)
        number = products.get(product_id)
        return self._added(key, products) if number is None else number

    def block(self, numbers: Ints) -> KeyBlock:
        """Keys by number. Not to be asked for by several threads at once."""
        self._write_out()
        known = Pieces(self._texts, self._places[:-1], self._places[1:]).some(numbers)
        ends = np.cumsum(known.ends - known.starts)
        starts = ends - (known.ends - known.starts)
        raw = np.empty(ends[-1] if len(ends) else 0, np.uint8)
        copy(known, raw, 0)
        between = np.flatnonzero(raw == ord(SEPARATOR))
        return KeyBlock(raw, np.stack((starts, between + 1), axis=1), np.stack((between, ends), axis=1))

    def _write_out(self) -> None:
        """Writes the keys that came since behind those before."""
        further = pieces(self.stored[self._written :])
        count, begin = self._written + len(further.ends), int(self._places[self._written])
        end = begin + len(further.raw)
        self._texts, self._places = by_number(self._texts, end, 0), by_number(self._places, count + 1, 0)
        self._texts[begin:end] = further.raw
        self._places[self._written + 1 : count + 1] = begin + further.ends
        self._written = count

    def _added(self, key: Key, products: dict[str, int]) -> int:
        store_id, product_id = sys.intern(key[0]), key[1]  # one text for all keys of a store
        with self._adding:
            number = products.get(product_id)
            if number is None:  # no other thread has added it since
                number = len(self.stored)
                self.keys.append((store_id, product_id))
                self.stored.append(store_key((store_id, product_id)))
                products[product_id] = number  # last: who finds it finds the rest
            return number


def by_number(known: npt.NDArray[Number], count: int, unset: int) -> npt.NDArray[Number]:
    """What is known by number, with room for so many numbers: for twice as many as there was where that is not enough."""
    if count <= len(known):
        return known
    grown = np.full(max(count, 2 * len(known)), unset, known.dtype)
    grown[: len(known)] = known
    return grown


def store_key(key: Key) -> bytes:
    """A key as it is stored."""
    return SEPARATOR.join(key).encode()


def key_in_store(raw: bytes) -> Key:
    """The key in `raw`."""
    store_id, product_id = raw.decode().split(SEPARATOR)
    return store_id, product_id
