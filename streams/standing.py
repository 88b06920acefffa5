"""The views `stock` and `price_plan`: what an event says stands until a later one says otherwise.

Their states are objects while they are worked on, one event at a time: they are few beside receipts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from contracts.events import InventoryEvent, PriceEvent
from contracts.features import AS_OF, CATALOGUE_FINGERPRINT, FINGERPRINT, PRICE_PLAN, SOURCE_OFFSET, STOCK, View
from contracts.topics import INVENTORY, PRICES, Topic
from contracts.windows import StoreCalendars
from featurestore.keys import key_columns
from featurestore.pieces import Ints, Pieces, cut, pieces
from streams import prices, stock
from streams.admission import Admission, Outcome
from streams.key_table import Key, KeyTable
from streams.schedule import NEVER
from streams.sums import Sums
from streams.views import Head, Settled, Taken, Touched

Event = InventoryEvent | PriceEvent
Read = tuple[int | None, dict[str, Any]]  # when a row next changes by itself, ms, and its features


class Events:
    """Events to be taken in together, by the numbers of their keys."""

    def __init__(self, keys: KeyTable) -> None:
        self.keys = keys
        self.told: list[tuple[int, Event, int]] = []

    @property
    def numbers(self) -> Ints:
        """The numbers of the keys that the events tell of."""
        return np.array(list(dict.fromkeys(number for number, _, _ in self.told)), np.int64)

    def add(self, event: Event, offset: int) -> None:
        """Takes an event in, read at an offset."""
        self.told.append((self.keys.number((event.store_id, event.product_id)), event, offset))


class StandingKernel:
    """A view whose states are their own kind of Admission, changed in place. A price's key is `*` × product for all stores."""

    def __init__(
        self,
        view: View,
        topic: Topic,
        state: type[Admission],
        apply: Callable[[Any, Any, int, int], Outcome],
        read: Callable[[tuple[str, ...], Any], Read],
        lateness: int,
    ) -> None:
        self.view, self.topic = view, topic
        self._state, self._apply, self._read, self._lateness = state, apply, read, lateness
        self._keys = key_columns(view.name)
        self._encode, self._decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(state).decode

    def split(self, event: Event) -> Iterable[tuple[Key, Event]]:
        return [((event.store_id, event.product_id), event)]

    def batch(self, keys: KeyTable) -> Events:
        return Events(keys)

    def take(self, batch: Events, states: Pieces) -> Taken:
        before = dict(zip(batch.numbers.tolist(), cut(states), strict=True))
        known = {key: self._unpacked(raw) for key, raw in before.items()}
        touched: dict[int, Any] = {}
        late: dict[int, list[Key]] = {}
        outcomes: Counter[Outcome] = Counter()
        for number, (key, event, offset) in enumerate(batch.told):
            outcome = self._apply(known[key], event, offset, self._lateness)
            if outcome in ("applied", "replayed"):
                touched[key] = known[key]
            outcomes[outcome] += 1
            if outcome == "late":
                late[number] = [batch.keys.key(key)]
        numbers = np.array(list(touched), np.int64)
        return Taken(
            Touched(numbers, self._settled(batch.keys.block(numbers), touched.values())),
            sum(not before[key] for key in touched),
            outcomes["replayed"],
            outcomes["duplicate"],
            late,
        )

    def advance(self, states: Pieces, now: int) -> Pieces:
        return pieces([self._changed(raw, as_of=max(self._unpacked(raw).as_of, now)) for raw in cut(states)])

    def settle(self, keys: Sequence[tuple[str, ...]], states: Pieces) -> Settled:
        return self._settled(keys, map(self._unpacked, cut(states)))

    def _settled(self, keys: Sequence[tuple[str, ...]], states: Iterable[Any]) -> Settled:
        raws, dues, rows = [], [], []
        for key, state in zip(keys, states, strict=True):
            due, features = self._read(key, state)
            raws.append(self._encode(state))
            dues.append(NEVER if due is None else due)
            about = {AS_OF: state.as_of, SOURCE_OFFSET: state.offset, FINGERPRINT: CATALOGUE_FINGERPRINT}
            rows.append(dict(zip(self._keys, key, strict=True)) | about | features)
        return Settled(pieces(raws), np.array(dues, np.int64), rows.__getitem__)

    def heads(self, states: Pieces) -> list[Head]:
        return [Head(state.as_of, state.offset, state.complete) for state in map(self._unpacked, cut(states))]

    def completed(self, state: bytes, offset: int) -> bytes:
        return self._changed(state, offset=offset, complete=offset)

    def sums(self) -> Sums:
        return Sums()

    def compile(self) -> None:
        """There is none."""

    def _unpacked(self, raw: bytes) -> Any:
        return self._decode(raw) if raw else self._state()

    def _changed(self, raw: bytes, **changes: int) -> bytes:
        return self._encode(msgspec.structs.replace(self._unpacked(raw), **changes))


def stock_kernel(calendars: StoreCalendars, lateness: int) -> StandingKernel:
    """`stock`, from counts and movements."""

    def read(key: tuple[str, ...], state: stock.StockState) -> Read:
        return stock.settle(state, calendars.of(key[0]), lateness)

    return StandingKernel(STOCK, INVENTORY, stock.StockState, stock.apply, read, lateness)


def price_kernel(lateness: int) -> StandingKernel:
    """`price_plan`, from announcements: its rows change by events alone."""

    def read(_: tuple[str, ...], state: prices.PriceState) -> Read:
        prices.settle(state, lateness)
        return None, prices.features(state)

    return StandingKernel(PRICE_PLAN, PRICES, prices.PriceState, prices.apply, read, lateness)
