"""The receipts of a batch as arrays, so that compiled code takes them all in one call."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from contracts.events import Receipt
from featurestore.pieces import Ints, Pieces, texts
from streams.admission import digest
from streams.key_table import SEPARATOR, KeyTable

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
    """Gathers receipts of a partition, whose keys are in a table; what they say is read of all of them together."""

    def __init__(self, keys: KeyTable) -> None:
        self.keys = keys
        self._receipts: list[Receipt] = []
        self._offsets: list[int] = []

    def __len__(self) -> int:
        return len(self._receipts)

    def add(self, receipt: Receipt, offset: int) -> None:
        """Takes a receipt in, read at an offset."""
        self._receipts.append(receipt)
        self._offsets.append(offset)

    @property
    def numbers(self) -> Ints:
        """The numbers of the keys, in their order."""
        return self._grouped.numbers

    @property
    def stores(self) -> list[str]:
        """The stores by their numbers."""
        return self._columns.stores

    @property
    def categories(self) -> list[str]:
        """The categories by their numbers; that of number 0 is none."""
        return self._columns.categories

    @functools.cached_property
    def told(self) -> Told:
        """All that was taken in. The keys are those of `numbers`, counted from 0."""
        columns, grouped = self._columns, self._grouped
        columns.lines[:, OF_KEY] = grouped.of_key
        ids = texts([receipt.event_id for receipt in self._receipts])
        return Told(columns.lines, grouped.order, grouped.key_from, columns.receipts, ids, texts(columns.categories))

    @functools.cached_property
    def store_of(self) -> Ints:
        """The number of the store of each key of `numbers`."""
        first = self.told.lines[self._grouped.order[self._grouped.key_from[:-1]], OF_RECEIPT]
        store_of: Ints = self._columns.receipts[first, STORE]
        return store_of

    @functools.cached_property
    def _columns(self) -> _Columns:
        read, lines = self._receipts, [line for receipt in self._receipts for line in receipt.lines]
        stores: dict[str, int] = {}
        categories: dict[str | None, int] = {None: 0}
        of_receipts = np.empty((len(read), RECEIPT), np.int64)
        of_receipts[:, IDENTITY] = [identity(receipt.event_id) for receipt in read]
        of_receipts[:, EVENT_TIME] = [receipt.event_time for receipt in read]
        of_receipts[:, OFFSET] = self._offsets
        of_receipts[:, STORE] = [stores.setdefault(receipt.store_id, len(stores)) for receipt in read]
        of_lines = np.empty((len(lines), LINE), np.int64)
        of_lines[:, OF_RECEIPT] = np.repeat(np.arange(len(read)), [len(receipt.lines) for receipt in read])
        of_lines[:, CATEGORY] = [categories.setdefault(line.category_id, len(categories)) for line in lines]
        of_lines[:, QUANTITY] = [line.quantity for line in lines]
        of_lines[:, UNIT_PRICE] = [line.unit_price for line in lines]
        of_lines[:, PROMOTED] = [line.promotion_id is not None for line in lines]
        products = texts([line.product_id for line in lines])
        return _Columns(of_lines, of_receipts, products, list(stores), [name or "" for name in categories])

    @functools.cached_property
    def _grouped(self) -> _Grouped:
        lines, receipts, products, stores, _ = self._columns
        under = texts([f"{store_id}{SEPARATOR}" for store_id in stores])
        of_line = self.keys.numbers(products, under, receipts[lines[:, OF_RECEIPT], STORE])
        order = np.argsort(of_line, kind="stable")
        in_order = of_line[order]
        is_first = np.ones(len(order), np.bool_)
        is_first[1:] = in_order[1:] != in_order[:-1]
        of_key = np.empty(len(order), np.int64)
        of_key[order] = np.cumsum(is_first) - 1
        return _Grouped(in_order[is_first], of_key, order, np.append(np.flatnonzero(is_first), len(order)))


class _Columns(NamedTuple):
    """Lines and receipts as `Told` has them but for the keys, which are of these products and of the receipts' stores."""

    lines: Ints
    receipts: Ints
    products: Pieces
    stores: list[str]
    categories: list[str]


class _Grouped(NamedTuple):
    """The numbers of the keys in their order, the place there of each line's, and the lines of each, as `Told` has them."""

    numbers: Ints
    of_key: Ints
    order: Ints
    key_from: Ints


def identity(event_id: str) -> int:
    """64 bits of an event id, the same in every process, as a signed number."""
    return digest(event_id) - 2**63
