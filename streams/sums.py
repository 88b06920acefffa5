"""The sums of one partition: the products of each store together, what `store_rolling` shows.

A sum is made of the states of its products and of nothing else, so that it is what they are: an event that was added to a product
is added here, one that came twice or too late for it is not. Sums are kept in memory, moved on with each sale, and made anew of
the stored states when a partition is restored. Then some products may be ahead of others, until what is read again has come to
where the furthest one was: no row is written before, since it would be of no moment at all.

How many receipts there were is no sum over products: one receipt has several.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.features import CATALOGUE_FINGERPRINT, STORE_ROLLING, View
from contracts.windows import DAY_MS, StoreCalendars
from featurestore.rows import GroupedRow, Layout
from streams import tiles
from streams.admission import NOTHING_YET
from streams.schedule import Schedule
from streams.state import SILENT_DAYS, Sale, SalesState, groups_of_windows, of_window


@dataclass(slots=True)
class StoreSum:
    """One store: the rings of all its products together, the latest as-of time, offset and event of any of them."""

    rings: tuple[tiles.Ring, tiles.Ring, tiles.Ring] = field(default_factory=tiles.empty)
    as_of: int = 0
    offset: int = NOTHING_YET
    heard: int = 0


class Sums:
    """What is summed up over the states of one partition; this, of a view that no other is over, is nothing."""

    view: View | None = None
    read_to = NOTHING_YET  # the offset that the partition is read to

    def clear(self) -> None:
        """Begins anew."""

    def restore(self, store_id: str, state: Any) -> None:
        """Adds the stored state of a product."""

    def add(self, store_id: str, part: Any, offset: int) -> None:
        """Adds what was added to a product."""

    def replace(self, store_id: str, old: Any, new: Any) -> None:
        """Takes the state of a product out, and another one in."""

    def changed(self) -> dict[str, StoreSum]:
        """The sums whose rows are to be written; none while products are apart."""
        return {}

    def advance(self, now: int) -> dict[str, StoreSum]:  # noqa: ARG002  # what has sums asks for it
        """The sums that time has changed, and those whose rows may be old, as of `now` ms. Call it when all is read."""
        return {}

    def all(self) -> dict[str, StoreSum]:
        """All sums; none while products are apart, but all of them once they no longer are."""
        return {}

    def rows(self, sums: Iterable[tuple[str, StoreSum]]) -> list[GroupedRow]:  # noqa: ARG002  # as above
        """The rows of sums. Tiles that no window covers any more are dropped on the way."""
        return []


class StoreSums(Sums):
    """The sums of a partition's stores, which of them have changed, and when they next do by themselves."""

    view = STORE_ROLLING
    layout = Layout(STORE_ROLLING.name, groups_of_windows(STORE_ROLLING.name))

    def __init__(self, calendars: StoreCalendars) -> None:
        self._calendars = calendars
        self._sums: dict[str, StoreSum] = {}
        self._schedule: Schedule[str] = Schedule()
        self._touched: dict[str, StoreSum] = {}
        self._restored: dict[str, StoreSum] = {}  # their rows may lack what the worker before had no time to write
        self._whole_from = NOTHING_YET  # the offset that the furthest product was at when others were behind it

    def clear(self) -> None:
        for kept in (self._sums, self._schedule, self._touched, self._restored):
            kept.clear()
        self._whole_from = NOTHING_YET

    def restore(self, store_id: str, state: SalesState) -> None:
        one = self._restored[store_id] = self._of(store_id)
        self._include(one, state)

    def add(self, store_id: str, sale: Sale, offset: int) -> None:
        one = self._touched[store_id] = self._of(store_id)
        tiles.add_to(one.rings, sale.tiles, sale.values)
        if offset > one.offset:  # another product may be ahead, after a crash
            one.offset = offset
        if sale.event_time > one.heard:
            one.heard = sale.event_time
        if sale.event_time > one.as_of:
            one.as_of = sale.event_time

    def replace(self, store_id: str, old: SalesState, new: SalesState) -> None:
        one = self._touched[store_id] = self._of(store_id)
        tiles.take_all(one.rings, old.rings)
        self._include(one, new)

    def changed(self) -> dict[str, StoreSum]:
        if self.read_to < self._whole_from:
            return {}
        touched, self._touched = self._touched, {}
        return touched

    def advance(self, now: int) -> dict[str, StoreSum]:
        self._whole_from = NOTHING_YET
        found = self._restored | self._touched
        self._restored, self._touched = {}, {}
        while (store_id := self._schedule.next_due(now)) is not None:
            found[store_id] = self._sums[store_id]
        for one in found.values():
            one.as_of = max(one.as_of, now)
        return found

    def all(self) -> dict[str, StoreSum]:
        if self.read_to < self._whole_from:
            self._restored = dict(self._sums)
            return {}
        return dict(self._sums)

    def rows(self, sums: Iterable[tuple[str, StoreSum]]) -> list[GroupedRow]:
        return [self._row(store_id, one) for store_id, one in sums]

    def _of(self, store_id: str) -> StoreSum:
        one = self._sums.get(store_id)
        if one is None:
            one = self._sums[store_id] = StoreSum()
        return one

    def _include(self, one: StoreSum, state: SalesState) -> None:
        tiles.add_all(one.rings, state.rings)
        one.as_of, one.offset = max(one.as_of, state.as_of), max(one.offset, state.offset)
        one.heard = max(one.heard, state.heard)
        self._whole_from = max(self._whole_from, state.offset)

    def _row(self, store_id: str, one: StoreSum) -> GroupedRow:
        calendar = self._calendars.of(store_id)
        now = calendar.tiles(one.as_of)
        windows, leaves_at = tiles.read(one.rings, now, calendar)
        self._schedule.note(store_id, leaves_at)
        if one.as_of - one.heard < SILENT_DAYS * DAY_MS:  # as the rows of products: so that its age shows a living writer
            self._schedule.note(store_id, calendar.day_start(now[-1] + 1))
        about = one.as_of, one.offset, CATALOGUE_FINGERPRINT
        return GroupedRow(self.layout, (store_id,), (about, *map(of_window, windows)))
