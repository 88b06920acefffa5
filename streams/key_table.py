"""The keys of one partition by number: what is known of each stands in lists and arrays, and is found without hashing texts."""

from __future__ import annotations

import sys

Key = tuple[str, str]  # store_id, product_id


class KeyTable:
    """The keys in the order in which they first came, by number, with the bytes that each is stored under. None ever goes."""

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.stored: list[bytes] = []
        self._of_store: dict[str, dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self.keys)

    def of_store(self, store_id: str) -> dict[str, int]:
        """The numbers of a store's keys by product_id, to be read only."""
        products = self._of_store.get(store_id)
        if products is None:
            products = self._of_store[sys.intern(store_id)] = {}
        return products

    def number(self, key: Key) -> int:
        """The number of a key, which gets one where it has none yet."""
        store_id, product_id = key
        products = self.of_store(store_id)
        number = products.get(product_id)
        if number is None:
            number = products[product_id] = len(self.keys)
            known = sys.intern(store_id), product_id  # one text for all keys of a store
            self.keys.append(known)
            self.stored.append(store_key(known))
        return number


def store_key(key: Key) -> bytes:
    """A key as it is stored. Identifiers hold no control character, so the separator is safe."""
    return "\x1f".join(key).encode()


def key_in_store(raw: bytes) -> Key:
    """The key in `raw`."""
    store_id, product_id = raw.decode().split("\x1f")
    return store_id, product_id
