"""The sums of one partition: what the products of a store, and of each of its categories, sold together.

A sum is made of the states of its products and of nothing else, so that it is what they are: an event that was added to a product
is added here, one that came twice or too late for it is not. Sums are kept in memory, moved on with each sale, and made anew of
the stored states when a partition is restored. Then some products may be ahead of others, until what is read again has come to
where the furthest one was: no row is written before, since it would be of no moment at all.

How many receipts there were is no sum over products: one receipt has several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.aggregates import EMPTY, Tile, merge
from contracts.features import CATALOGUE_FINGERPRINT, CATEGORY_ROLLING, STORE_ROLLING, View
from contracts.windows import DAY_MS, StoreCalendars
from featurestore.rows import GroupedRow, Layout
from streams import tiles
from streams.admission import NOTHING_YET
from streams.schedule import Schedule
from streams.state import NO_CATEGORY, SILENT_DAYS, Sale, SalesState, by_category, groups_of_windows, of_window

Key = tuple[str, ...]  # of a store: its id; of a category: the store's and its name


@dataclass(slots=True)
class Sum:
    """The rings of all products of one key together, the latest as-of time, offset and event of any of them."""

    view: View
    rings: tiles.Rings = field(default_factory=tiles.empty)
    as_of: int = 0
    offset: int = NOTHING_YET
    heard: int = 0


class Sums:
    """What is summed up over the states of one partition; this, of a view that no other is over, is nothing."""

    views: tuple[View, ...] = ()
    read_to = NOTHING_YET  # the offset that the partition is read to

    def clear(self) -> None:
        """Begins anew."""

    def restore(self, store_id: str, state: Any) -> None:
        """Adds the stored state of a product."""

    def add(self, store_id: str, parts: Sequence[Any], offset: int) -> None:
        """Adds what one event added to products, of each at most one part."""

    def replace(self, store_id: str, old: Any, new: Any) -> None:
        """Takes the state of a product out, and another one in."""

    def changed(self) -> dict[Key, Sum]:
        """The sums whose rows are to be written with a batch; none while products are apart."""
        return {}

    def advance(self, now: int) -> dict[Key, Sum]:  # noqa: ARG002  # what has sums asks for it
        """The sums that time has changed, and those whose rows may be old, as of `now` ms. Call it when all is read."""
        return {}

    def keys(self) -> list[Key]:
        """The keys of all sums."""
        return []

    def some(self, keys: Iterable[Key]) -> dict[Key, Sum]:  # noqa: ARG002  # as above
        """Some sums, to be written again; none while products are apart, but all of these once they no longer are."""
        return {}

    def row(self, key: Key, one: Sum) -> GroupedRow:
        """The row of a sum. Tiles that no window covers any more are dropped on the way."""
        raise NotImplementedError  # there is none


class SalesSums(Sums):
    """The sums of a partition's stores and categories, which of them have changed, and when they next do by themselves."""

    views = STORE_ROLLING, CATEGORY_ROLLING  # as many parts as a key has, one or two

    def __init__(self, calendars: StoreCalendars) -> None:
        self._calendars = calendars
        self._sums: dict[Key, Sum] = {}
        self._schedule: Schedule[Key] = Schedule()
        self._touched: dict[Key, Sum] = {}
        self._restored: dict[Key, Sum] = {}  # their rows may lack what the worker before had no time to write
        self._whole_from = NOTHING_YET  # the offset that the furthest product was at when others were behind it

    def clear(self) -> None:
        for kept in (self._sums, self._schedule, self._touched, self._restored):
            kept.clear()
        self._whole_from = NOTHING_YET

    def restore(self, store_id: str, state: SalesState) -> None:
        self._include(store_id, state, self._restored)

    def add(self, store_id: str, sales: Sequence[Sale], offset: int) -> None:
        by_category: dict[str, Tile] = {}
        for sale in sales:  # additions are most of what sums cost: once for each category of a receipt, not for each line
            before = by_category.get(sale.category)
            by_category[sale.category] = sale.values if before is None else merge(before, sale.values)
        together = EMPTY
        for category, values in by_category.items():
            together = merge(together, values)
            if category != NO_CATEGORY:
                self._move((store_id, category), sales[0], values, offset)
        self._move((store_id,), sales[0], together, offset)

    def _move(self, key: Key, sale: Sale, values: Tile, offset: int) -> None:
        one = self._touched.get(key)
        if one is None:
            one = self._touched[key] = self._of(key)
        tiles.add_to(one.rings, sale.tiles, values)
        if offset > one.offset:  # another product may be ahead, after a crash
            one.offset = offset
        if sale.event_time > one.heard:
            one.heard = sale.event_time
        if sale.event_time > one.as_of:
            one.as_of = sale.event_time

    def replace(self, store_id: str, old: SalesState, new: SalesState) -> None:
        for key, rings in _parts(store_id, old):
            one = self._touched[key] = self._of(key)
            tiles.take_all(one.rings, rings)
        self._include(store_id, new, self._touched)

    def changed(self) -> dict[Key, Sum]:
        if self.read_to < self._whole_from:
            return {}
        # All of a restored partition, with the first batch that ends where products are together again: what was committed while
        # they were apart is in no row yet, and a tick may be long in coming where old events go on.
        found = self._restored | self._touched if self._restored else self._touched
        self._restored, self._touched = {}, {}
        return found

    def advance(self, now: int) -> dict[Key, Sum]:
        self._whole_from = NOTHING_YET
        found = self._restored | self._touched
        self._restored, self._touched = {}, {}
        while (key := self._schedule.next_due(now)) is not None:
            found[key] = self._sums[key]
        for one in found.values():
            one.as_of = max(one.as_of, now)
        return found

    def keys(self) -> list[Key]:
        return list(self._sums)

    def some(self, keys: Iterable[Key]) -> dict[Key, Sum]:
        found = {key: self._sums[key] for key in keys if key in self._sums}
        if self.read_to < self._whole_from:
            self._restored |= found
            return {}
        return found

    def row(self, key: Key, one: Sum) -> GroupedRow:
        calendar = self._calendars.of(key[0])
        now = calendar.tiles(one.as_of)
        windows, leaves_at = tiles.read(one.rings, now, calendar)
        self._schedule.note(key, leaves_at)
        if one.as_of - one.heard < SILENT_DAYS * DAY_MS:  # as the rows of products: so that its age shows a living writer
            self._schedule.note(key, calendar.day_start(now[-1] + 1))
        about = one.as_of, one.offset, CATALOGUE_FINGERPRINT
        return GroupedRow(_LAYOUTS[one.view.name], key, (about, *map(of_window, windows)))

    def _of(self, key: Key) -> Sum:
        one = self._sums.get(key)
        if one is None:
            one = self._sums[key] = Sum(self.views[len(key) - 1])
        return one

    def _include(self, store_id: str, state: SalesState, marked: dict[Key, Sum]) -> None:
        for key, rings in _parts(store_id, state):
            one = marked[key] = self._of(key)
            tiles.add_all(one.rings, rings)
            one.as_of, one.offset = max(one.as_of, state.as_of), max(one.offset, state.offset)
            one.heard = max(one.heard, state.heard)
        self._whole_from = max(self._whole_from, state.offset)


_LAYOUTS = {view.name: Layout(view.name, groups_of_windows(view.name)) for view in SalesSums.views}


def _parts(store_id: str, state: SalesState) -> Iterable[tuple[Key, tiles.Rings]]:
    """What the state of a product is in each sum that it is in."""
    yield (store_id,), state.rings
    for category, rings in by_category(state):
        if category != NO_CATEGORY:
            yield (store_id, category), rings
