"""The kernel of `sales_rolling`: tiles of one store × product, and the features that windows over them give.

Pure: events and times in, integers out. A window is exact at its head (all events up to the as-of time) and rounded down to
its hop at its tail. A tile leaves each window once, at a time known beforehand: `due` says when the row next changes by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from contracts.aggregates import SALES_VALUES, LastSale, Sale, Tile, lift, merge_into, ratio
from contracts.events import Receipt, ReceiptLine
from contracts.features import SALES_ROLLING, Feature, features_of
from contracts.windows import DAY_MS, RING, WINDOWS, Calendar, Hop
from streams.admission import Admission, Outcome

NO_PRICE = -1
SILENT_DAYS = 364  # a series without any event for so long is given up: its row is no longer refreshed every day
ZERO = (0,) * len(SALES_VALUES)
_FEATURES = features_of(SALES_ROLLING.name)


class SalesState(Admission, array_like=True):
    """One store × product: its rings of tiles by hop (tile index -> SALES_VALUES), its latest sale and latest event.

    `last` is (event_time, event_id, unit_price in cents) of the latest sale; `heard` is the latest event time.
    """

    five_minutes: dict[int, Tile] = msgspec.field(default_factory=dict)
    hours: dict[int, Tile] = msgspec.field(default_factory=dict)
    days: dict[int, Tile] = msgspec.field(default_factory=dict)
    last: tuple[int, str, int] | None = None
    heard: int = 0

    def ring(self, hop: Hop) -> dict[int, Tile]:
        """The tiles of a hop."""
        return self.five_minutes if hop is Hop.FIVE_MINUTES else self.hours if hop is Hop.HOUR else self.days


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SalesState)


def encode(state: SalesState) -> bytes:
    """A state as it is stored; a few hundred bytes for a product that sells all day."""
    return _ENCODER.encode(state)


def decode(raw: bytes) -> SalesState:
    """The state in `raw`."""
    return _DECODER.decode(raw)


def sales_of(receipt: Receipt) -> list[tuple[str, Sale]]:
    """What a receipt says of each of its products, once each: (product_id, Sale)."""
    by_product: dict[str, list[ReceiptLine]] = {}
    for line in receipt.lines:
        by_product.setdefault(line.product_id, []).append(line)
    return [(product_id, _sale(receipt, lines)) for product_id, lines in by_product.items()]


def _sale(receipt: Receipt, lines: Iterable[ReceiptLine]) -> Sale:
    lines = tuple(lines)
    values = lift((line.quantity, line.unit_price, line.promotion_id is not None) for line in lines)
    dearest = max((line.unit_price for line in lines if line.quantity > 0), default=NO_PRICE)
    return Sale(receipt.event_id, receipt.event_time, values, dearest)


def apply(state: SalesState, sale: Sale, offset: int, calendar: Calendar, lateness: int) -> Outcome:
    """Adds one sale to the state, unless it was added before or comes too late. Follow it with `settle` before the next read."""
    outcome = state.admit(sale.event_id, sale.event_time, offset, lateness)
    if outcome != "applied":
        return outcome
    for hop in Hop:
        ring = state.ring(hop)
        index = calendar.tile(hop, sale.event_time)
        tile = ring.get(index)
        if tile is None:
            ring[index] = list(sale.values)
        else:
            merge_into(tile, sale.values)
    state.heard = max(state.heard, sale.event_time)
    if sale.unit_price != NO_PRICE:
        latest = LastSale(sale.event_time, sale.event_id, sale.unit_price)
        if state.last is None or latest > LastSale(*state.last):
            state.last = (latest.event_time, latest.event_id, latest.unit_price)
    return outcome


def settle(state: SalesState, calendar: Calendar, lateness: int) -> None:
    """Drops what no window as of now or later covers."""
    state.forget(lateness)
    for hop in Hop:
        first = calendar.tile(hop, state.as_of) - RING[hop]
        ring = state.ring(hop)
        for index in [index for index in ring if index < first]:
            del ring[index]


def due(state: SalesState, calendar: Calendar) -> int | None:
    """The first instant after the as-of time at which the row changes with no event, ms; None when it never does.

    That is when the oldest tile leaves a window, or the next local midnight, at which an unchanged row too is written again so
    that its age shows a living writer, not a dead one.
    """
    exits = []
    for window in WINDOWS.values():
        first = calendar.tile(window.hop, state.as_of) - window.hops
        covered = [index for index in state.ring(window.hop) if index >= first]
        if covered:
            exits.append(calendar.leaves_at(window, min(covered)))
    if state.as_of - state.heard < SILENT_DAYS * DAY_MS:
        exits.append(calendar.day_start(calendar.day(state.as_of) + 1))
    return min(exits, default=None)


def advance(state: SalesState, now: int, calendar: Calendar, lateness: int) -> None:
    """Moves the as-of time on to an instant (ms) without an event; never back."""
    state.as_of = max(state.as_of, now)
    settle(state, calendar, lateness)


def features(state: SalesState, calendar: Calendar) -> dict[str, Any]:
    """The features of the view as of `state.as_of`, by name."""
    sums = window_sums(state, calendar)
    return {feature.name: _finish(feature, sums, state.last) for feature in _FEATURES}


def window_sums(state: SalesState, calendar: Calendar) -> dict[str, tuple[int, ...]]:
    """SALES_VALUES summed over each window as of `state.as_of`, by the window's name."""
    sums = {}
    for name, window in WINDOWS.items():
        first = calendar.tile(window.hop, state.as_of) - window.hops
        covered = [tile for index, tile in state.ring(window.hop).items() if index >= first]
        sums[name] = tuple(map(sum, zip(*covered, strict=True))) if covered else ZERO
    return sums


def _finish(feature: Feature, sums: dict[str, tuple[int, ...]], last: tuple[int, str, int] | None) -> Any:
    if feature.aggregate == "last":
        return None if last is None else last[0] if feature.value == "event_time" else last[2]
    assert feature.window is not None
    window = sums[feature.window]
    if feature.aggregate == "sum":
        return window[_AT[feature.value]]
    over, under = feature.value.split("/")
    return ratio(window[_AT[over]], window[_AT[under]])


_AT = {name: at for at, name in enumerate(SALES_VALUES)}
