"""The keys of one partition by number: what is known of each stands in lists and arrays, and is found without hashing texts."""

from __future__ import annotations

import sys
import threading

Key = tuple[str, str]  # store_id, product_id


class KeyTable:
    """The keys in the order in which they first came, by number, with the bytes that each is stored under. None ever goes.

    Threads may ask at the same time: one decodes a batch while another takes the one before.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.stored: list[bytes] = []
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


def store_key(key: Key) -> bytes:
    """A key as it is stored. Identifiers hold no control character, so the separator is safe."""
    return "\x1f".join(key).encode()


def key_in_store(raw: bytes) -> Key:
    """The key in `raw`."""
    store_id, product_id = raw.decode().split("\x1f")
    return store_id, product_id
