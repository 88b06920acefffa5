"""The receipts of a batch as arrays, so that compiled code takes them all in one call."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from contracts.events import Receipt
from featurestore.pieces import Ints, Pieces, pieces
from streams.admission import digest
from streams.key_table import KeyTable

# Columns of a line: the numbers of its key, its receipt and its category (0: none), and what it says.
OF_KEY, OF_RECEIPT, CATEGORY, QUANTITY, UNIT_PRICE, PROMOTED = range(6)
LINE = 6
# Columns of a receipt.
IDENTITY, EVENT_TIME, OFFSET, STORE = range(4)
RECEIPT = 4


class Told(NamedTuple):
    """What the receipts of a batch say, in the order in which they were read.

    `lines` has a row of LINE columns for each line, `order` the numbers of the lines by their key, those of key `k` from
    `key_from[k]` to `key_from[k + 1]`, each in the order in which it was read. `receipts` has a row of RECEIPT columns for each.
    """

    lines: Ints
    order: Ints
    key_from: Ints
    receipts: Ints
    ids: Pieces
    categories: Pieces


class Receipts:
    """Gathers receipts of a partition; stores and categories get their numbers as they come, keys have theirs."""

    def __init__(self, keys: KeyTable) -> None:
        self.keys = keys
        self.stores: list[str] = []
        self.categories: list[str] = [""]
        self._stores: dict[str, tuple[int, dict[str, int]]] = {}  # the number of each, and those of its keys by product
        self._categories: dict[str | None, int] = {None: 0}
        self._lines, self._receipts, self._ids = array("q"), array("q"), [""]

    def __len__(self) -> int:
        return len(self._ids) - 1

    def add(self, receipt: Receipt, offset: int) -> None:
        """Takes a receipt in, read at an offset."""
        number, store_id = len(self), receipt.store_id
        known = self._stores.get(store_id)
        if known is None:
            known = self._stores[store_id] = (len(self.stores), self.keys.of_store(store_id))
            self.stores.append(store_id)
        store, products = known
        for line in receipt.lines:
            key = products.get(line.product_id)
            if key is None:
                key = self.keys.number((store_id, line.product_id))
            category = self._categories.get(line.category_id)
            if category is None:
                category = self._named(line.category_id)
            self._lines.extend((key, number, category, line.quantity, line.unit_price, line.promotion_id is not None))
        self._receipts.extend((identity(receipt.event_id), receipt.event_time, offset, store))
        self._ids.append(receipt.event_id)

    @property
    def numbers(self) -> Ints:
        """The numbers of the keys, in their order."""
        return self._distinct[0]

    @functools.cached_property
    def told(self) -> Told:
        """All that was taken in. The keys are those of `numbers`, counted from 0."""
        lines, of_key = self._table.copy(), self._distinct[1]
        lines[:, OF_KEY] = of_key
        key_from = np.zeros(len(self.numbers) + 1, np.int64)
        np.cumsum(np.bincount(of_key, minlength=len(self.numbers)), out=key_from[1:])
        receipts = np.array(self._receipts, np.int64).reshape(-1, RECEIPT)
        return Told(lines, np.argsort(of_key, kind="stable"), key_from, receipts, _texts(self._ids[1:]), _texts(self.categories))

    @functools.cached_property
    def store_of(self) -> Ints:
        """The number of the store of each key of `numbers`."""
        found = np.zeros(len(self.numbers), np.int64)
        found[self.told.lines[:, OF_KEY]] = self.told.receipts[self.told.lines[:, OF_RECEIPT], STORE]
        return found

    @functools.cached_property
    def _table(self) -> Ints:
        return np.array(self._lines, np.int64).reshape(-1, LINE)

    @functools.cached_property
    def _distinct(self) -> tuple[Ints, Ints]:
        """The numbers of the keys, and of each line the place of its key's there."""
        return np.unique(self._table[:, OF_KEY], return_inverse=True)

    def _named(self, category_id: str | None) -> int:
        number = self._categories[category_id] = len(self.categories)
        self.categories.append(category_id or "")
        return number


def _texts(some: Sequence[str]) -> Pieces:
    """Texts in UTF-8."""
    return pieces(list(map(str.encode, some)))


def identity(event_id: str) -> int:
    """64 bits of an event id, the same in every process, as a signed number."""
    return digest(event_id) - 2**63
