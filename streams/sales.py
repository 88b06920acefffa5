"""The view `sales_rolling`: receipts into packed states, and states into rows. `fold.py` does the work on arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import numpy as np

from contracts.events import Receipt, ReceiptLine
from contracts.features import SALES_ROLLING
from contracts.topics import SALES
from contracts.windows import StoreCalendars
from featurestore.block_format import BlockFormat
from featurestore.pieces import Pieces, cut, pieces
from featurestore.row_block import RowBlock
from streams import columns, fold, packing, state
from streams.days import Zones, zones_of
from streams.key_table import LEAST_SLOTS, Key, KeyTable, store_key
from streams.receipts import OF_KEY, OF_RECEIPT, Receipts
from streams.sums import Added, SalesSums
from streams.views import Head, Settled, Taken, Touched


class SalesKernel:
    """`sales_rolling`, from receipts."""

    view, topic = SALES_ROLLING, SALES

    def __init__(self, calendars: StoreCalendars, lateness: int) -> None:
        self._calendars, self._lateness = calendars, lateness

    def split(self, event: Receipt) -> Iterable[tuple[Key, Receipt]]:
        by_product: dict[str, list[ReceiptLine]] = {}
        for line in event.lines:
            by_product.setdefault(line.product_id, []).append(line)
        return [
            ((event.store_id, product_id), msgspec.structs.replace(event, lines=tuple(lines)))
            for product_id, lines in by_product.items()
        ]

    def batch(self, keys: KeyTable) -> Receipts:
        return Receipts(keys)

    def take(self, batch: Receipts, states: Pieces) -> Taken:
        told, numbers = batch.told, batch.numbers
        of_store = zones_of(self._calendars, batch.stores)
        zones = Zones(of_store.starts, of_store.of_key[batch.store_of])
        touched, read, verdicts, sales = fold.take(states, told, zones, self._lateness)
        of_key, of_receipt = told.lines[:, OF_KEY], told.lines[:, OF_RECEIPT]
        known = numbers[touched]
        late: dict[int, list[Key]] = {}
        for line in np.flatnonzero(verdicts == state.LATE):
            late.setdefault(int(of_receipt[line]), []).append(batch.keys.key(numbers[of_key[line]]))
        fresh = of_receipt[(verdicts >= 0) & (verdicts != state.REPLAYED)]
        return Taken(
            Touched(known, _settled(batch.keys.block(known), read)),
            int((states.starts[touched] == states.ends[touched]).sum()),
            len(batch) - len(np.unique(fresh)),
            len(np.unique(of_receipt[verdicts == state.DUPLICATE])),
            late,
            Added(told, verdicts, sales, batch.stores, batch.categories),
        )

    def advance(self, states: Pieces, now: int) -> Pieces:
        return fold.advance(states, now)

    def settle(self, keys: Sequence[tuple[str, ...]], states: Pieces) -> Settled:
        return _settled(keys, fold.settle(states, self._zones(keys), self._lateness))

    def heads(self, states: Pieces) -> list[Head]:
        return [Head(*head) for head in fold.heads(states).tolist()]

    def completed(self, state: bytes, offset: int) -> bytes:
        return cut(fold.complete(pieces([state]), offset))[0]

    def sums(self) -> SalesSums:
        return SalesSums(self._calendars)

    def compile(self) -> None:
        no_states, no_lines, begin = pieces([]), np.zeros(0, np.int64), np.zeros(1, np.int64)
        added = self.take(self.batch(KeyTable()), no_states).added
        self.heads(self.advance(no_states, 0))
        keys = KeyTable()
        keys.block(keys.numbers(pieces([store_key(("", ""))] * LEAST_SLOTS)))  # as many as it has no room for yet
        cut(no_states)
        packing.names(no_states.raw)
        fold.add_sales(no_states, no_lines, begin, added.told, added.sales, self._zones([]))
        fold.add_states(no_states, no_lines, begin, no_lines, no_states, 1)
        read = fold.settle(pieces([b""]), self._zones([("", "")]), 0)
        row = columns.rows(SALES_ROLLING.name, [("", "")], read.facts, read.sums)
        BlockFormat(row.layout, b"").commands(row)

    def _zones(self, keys: Sequence[tuple[str, ...]]) -> Zones:
        return zones_of(self._calendars, [store_id for store_id, *_ in keys])


def _settled(keys: Sequence[tuple[str, ...]], read: fold.Read) -> Settled:
    states, facts, sums = read

    def rows(some: slice) -> RowBlock:
        return columns.rows(SALES_ROLLING.name, keys[some], facts[some], sums[some])

    return Settled(states, columns.due(facts), rows)
