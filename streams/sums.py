"""The sums of one partition: what the products of a store, and of each of its categories, sold together.

A sum is made of the states of its products and of nothing else, so that it is what they are: an event that was added to a product
is added here, one that came twice or too late for it is not. Sums are kept in memory, packed as states are, moved on with each
batch, and made anew of the stored states when a partition is restored. Then some products may be ahead of others, until what is
read again has come to where the furthest one was: no row is written before, since it would be of no moment at all.

How many receipts there were is no sum over products: one receipt has several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from contracts.features import CATEGORY_ROLLING, STORE_ROLLING, View
from contracts.windows import StoreCalendars
from featurestore.pieces import Ints, Pieces, cut, pieces
from featurestore.row_block import RowBlock
from streams import columns, fold, packing
from streams.days import Zones, zones_of
from streams.packing import VALUES
from streams.receipts import OF_RECEIPT, STORE, Told
from streams.schedule import Schedule
from streams.state import APPLIED

NOTHING_YET = -1
Key = tuple[str, ...]  # of a store: its id; of a category: the store's and its name


class Added(NamedTuple):
    """What a batch added to states: what it said, the verdict on each line, the values and the category of each sale by its first
    line, and the names of stores and categories by their numbers.
    """

    told: Told
    verdicts: Ints
    sales: Ints
    stores: Sequence[str]
    categories: Sequence[str]


class Sums:
    """What is summed up over the states of one partition; this, of a view that no other is over, is nothing."""

    views: tuple[View, ...] = ()
    read_to = NOTHING_YET  # the offset that the partition is read to

    def clear(self) -> None:
        """Begins anew."""

    def restore(self, keys: Sequence[Key], states: Pieces) -> None:
        """Adds the stored states of products."""

    def add(self, added: Any) -> None:
        """Adds what a batch added to the states of products."""

    def replace(self, key: Key, old: bytes, new: bytes) -> None:
        """Takes the state of a product out, and another one in."""

    def changed(self) -> list[Key]:
        """The sums whose rows are to be written with a batch; none while products are apart."""
        return []

    def advance(self, now: int) -> list[Key]:  # noqa: ARG002  # what has sums asks for it
        """The sums that time has changed, moved on to `now` ms, and those whose rows may be old. Call it when all is read."""
        return []

    def keys(self) -> list[Key]:
        """The keys of all sums."""
        return []

    def some(self, keys: Iterable[Key]) -> list[Key]:  # noqa: ARG002  # as above
        """Some sums, to be written again; none while products are apart, but all of these once they no longer are."""
        return []

    def settle(self, keys: Sequence[Key]) -> dict[str, RowBlock]:
        """The rows of sums, by view. Tiles that no window covers any more are dropped on the way."""
        assert not keys  # there are none
        return {}


class SalesSums(Sums):
    """The sums of a partition's stores and categories, which of them have changed, and when they next do by themselves."""

    views = STORE_ROLLING, CATEGORY_ROLLING  # as many parts as a key has, one or two

    def __init__(self, calendars: StoreCalendars) -> None:
        self._calendars = calendars
        self._sums: dict[Key, bytes] = {}
        self._numbers: dict[Key, int] = {}
        self._schedule = Schedule()
        self._touched: dict[Key, None] = {}
        self._restored: dict[Key, None] = {}  # their rows may lack what the worker before had no time to write
        self._whole_from = NOTHING_YET  # the offset that the furthest product was at when others were behind it

    def clear(self) -> None:
        for kept in (self._sums, self._numbers, self._schedule, self._touched, self._restored):
            kept.clear()
        self._whole_from = NOTHING_YET

    def restore(self, keys: Sequence[Key], states: Pieces) -> None:
        self._include(keys, states, self._restored)

    def add(self, added: Added) -> None:
        lines = np.flatnonzero(added.verdicts == APPLIED)
        if not len(lines):
            return
        store = added.told.receipts[added.told.lines[lines, OF_RECEIPT], STORE] * len(added.categories)
        category = added.sales[lines, VALUES]
        named = category > 0
        codes, grouped = np.unique(np.concatenate((store, (store + category)[named])), return_inverse=True)
        order, begin = _by_group(grouped, len(codes))
        keys: list[Key] = []
        for number, name in zip(*np.divmod(codes, len(added.categories)), strict=True):
            keys.append((added.stores[number], added.categories[name]) if name else (added.stores[number],))
        of_sums = np.concatenate((lines, lines[named]))[order]
        sums = fold.add_sales(self._packed(keys), of_sums, begin, added.told, added.sales, self._zones(keys))
        self._keep(keys, sums, self._touched)

    def replace(self, key: Key, old: bytes, new: bytes) -> None:
        if old:
            self._add_states([key], pieces([old]), self._touched, -1)
        self._include([key], pieces([new]), self._touched)

    def changed(self) -> list[Key]:
        if self.read_to < self._whole_from:
            return []
        # All of a restored partition, with the first batch that ends where products are together again: what was committed while
        # they were apart is in no row yet, and a tick may be long in coming where old events go on.
        return self._taken()

    def advance(self, now: int) -> list[Key]:
        self._whole_from = NOTHING_YET
        keys = list(self._numbers)
        self._touched |= dict.fromkeys(keys[number] for number in self._schedule.due(now))
        found = self._taken()
        if found:
            self._keep(found, fold.advance(self._packed(found), now), {})
        return found

    def keys(self) -> list[Key]:
        return list(self._sums)

    def some(self, keys: Iterable[Key]) -> list[Key]:
        found = [key for key in keys if key in self._sums]
        if self.read_to < self._whole_from:
            self._restored |= dict.fromkeys(found)
            return []
        return found

    def settle(self, keys: Sequence[Key]) -> dict[str, RowBlock]:
        found: dict[str, RowBlock] = {}
        for parts, view in enumerate(self.views, 1):
            of_view = [key for key in keys if len(key) == parts]
            if of_view:
                read = fold.settle(self._packed(of_view), self._zones(of_view), 0)
                self._keep(of_view, read.states, {})
                numbers = np.array([self._numbers.setdefault(key, len(self._numbers)) for key in of_view], np.int64)
                self._schedule.note(numbers, columns.due(read.facts))
                found[view.name] = columns.rows(view.name, of_view, read.facts, read.sums)
        return found

    def _taken(self) -> list[Key]:
        """What has changed since it was last asked for."""
        found = list(self._restored | self._touched)
        self._restored, self._touched = {}, {}
        return found

    def _include(self, keys: Sequence[Key], states: Pieces, marked: dict[Key, None]) -> None:
        self._add_states(keys, states, marked, 1)
        self._whole_from = max(self._whole_from, int(fold.heads(states)[:, packing.OFFSET].max()))

    def _add_states(self, keys: Sequence[Key], states: Pieces, marked: dict[Key, None], sign: int) -> None:
        """Adds the states of products to the sums that they are in, or takes them out."""
        places: dict[Key, int] = {}
        pairs: list[tuple[int, int, int]] = []  # a sum, a state, and the slot of it that is in the sum
        starts, ends = states.starts.tolist(), states.ends.tolist()
        for number, ((store_id, _), start, end) in enumerate(zip(keys, starts, ends, strict=True)):
            pairs.append((places.setdefault((store_id,), len(places)), number, fold.ANY_SLOT))
            for slot, name in enumerate(packing.names(states.raw[start:end]), 1):
                pairs.append((places.setdefault((store_id, name), len(places)), number, slot))
        of_sum, added, slots = np.array(pairs, np.int64).reshape(-1, 3).T
        order, begin = _by_group(of_sum, len(places))
        touched = list(places)
        self._keep(touched, fold.add_states(self._packed(touched), added[order], begin, slots[order], states, sign), marked)

    def _packed(self, keys: Sequence[Key]) -> Pieces:
        return pieces([self._sums.get(key, b"") for key in keys])

    def _keep(self, keys: Sequence[Key], sums: Pieces, marked: dict[Key, None]) -> None:
        self._sums.update(zip(keys, cut(sums), strict=True))
        marked.update(dict.fromkeys(keys))

    def _zones(self, keys: Sequence[Key]) -> Zones:
        return zones_of(self._calendars, [key[0] for key in keys])


def _by_group(grouped: Ints, groups: int) -> tuple[Ints, Ints]:
    """Where the members of each group stand, end to end, and where each group begins, and the last one ends."""
    begin = np.zeros(groups + 1, np.int64)
    np.cumsum(np.bincount(grouped, minlength=groups), out=begin[1:])
    return np.argsort(grouped, kind="stable"), begin
