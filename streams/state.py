"""The kernel of `sales_rolling`: tiles of one store × product, and the features that windows over them give.

Pure: events and times in, integers out. A window is exact at its head (all events up to the as-of time) and rounded down to
its hop at its tail. A tile leaves each window once, at a time known beforehand: `due` says when the row next changes by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import msgspec

from contracts.aggregates import SALES_VALUES, LastSale, Tile, lift
from contracts.events import Receipt, ReceiptLine
from contracts.features import SALES_ROLLING, features_of
from contracts.windows import DAY_MS, Calendar, Hop
from streams import same_hour, tiles
from streams.admission import Admission, Outcome, digest

NO_PRICE = -1
SILENT_DAYS = 364  # a series without any event for so long is given up: its row is no longer refreshed every day
_AT = {name: at for at, name in enumerate(SALES_VALUES)}
_UNITS, _HOUR = _AT["units"], list(Hop).index(Hop.HOUR)
_FEATURES = features_of(SALES_ROLLING.name)
# The catalogue, sorted by what a feature takes. The numbers of all windows stand in one row: of each window its sums, then its
# ratios, so that all features of windows are taken in one go.
_WINDOWED = [f for f in _FEATURES if f.aggregate in ("sum", "ratio")]
_QUOTIENTS = sorted({f.value for f in _WINDOWED if f.aggregate == "ratio"})
_TERMS = [(_AT[over], _AT[under]) for over, under in (quotient.split("/") for quotient in _QUOTIENTS)]
_COLUMNS = (*SALES_VALUES, *_QUOTIENTS)
_windowed = itemgetter(*(tiles.SLOT[f.window or ""] * len(_COLUMNS) + _COLUMNS.index(f.value) for f in _WINDOWED))
_SAME_HOUR = [f for f in _FEATURES if f.aggregate == "same_hour"]
_LAST = [f for f in _FEATURES if f.aggregate == "last"]
_NEVER_SOLD = (None,) * len(_LAST)
_last = itemgetter(*({"event_time": 0, "unit_price": 2}[f.value] for f in _LAST))
_NAMES = [f.name for f in (*_WINDOWED, *_SAME_HOUR, *_LAST)]


class Sale(msgspec.Struct, frozen=True, gc=False):
    """What one receipt says of one product. `tiles` are those that hold its time, one a hop; `unit_price` is the price of its
    dearest sold line in cents, NO_PRICE without one; `identity` is the digest of its id."""

    event_id: str
    identity: int
    event_time: int
    tiles: tuple[int, ...]
    values: Tile
    unit_price: int


class SalesState(Admission, array_like=True):
    """One store × product: its rings of tiles by hop (tile index -> SALES_VALUES), its latest sale and latest event.

    `last` is (event_time, event_id, unit_price in cents) of the latest sale; `heard` is the latest event time; `weeks` is the
    units by hour of the last weeks.
    """

    five_minutes: dict[int, Tile] = msgspec.field(default_factory=dict)
    hours: dict[int, Tile] = msgspec.field(default_factory=dict)
    days: dict[int, Tile] = msgspec.field(default_factory=dict)
    last: tuple[int, str, int] | None = None
    heard: int = 0
    weeks: same_hour.UnitsByHour = msgspec.field(default_factory=dict)

    @property
    def rings(self) -> tuple[tiles.Ring, ...]:
        """The rings in the order of Hop."""
        return (self.five_minutes, self.hours, self.days)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(SalesState)


def encode(state: SalesState) -> bytes:
    """A state as it is stored; a few hundred bytes for a product that sells all day."""
    return _ENCODER.encode(state)


def decode(raw: bytes) -> SalesState:
    """The state in `raw`."""
    return _DECODER.decode(raw)


def sales_of(receipt: Receipt, calendar: Calendar) -> list[tuple[str, Sale]]:
    """What a receipt says of each of its products, once each: (product_id, Sale)."""
    by_product: dict[str, list[ReceiptLine]] = {}
    for line in receipt.lines:
        by_product.setdefault(line.product_id, []).append(line)
    about = (receipt.event_id, digest(receipt.event_id), receipt.event_time, calendar.tiles(receipt.event_time))
    return [(product_id, Sale(*about, *_contribution(lines))) for product_id, lines in by_product.items()]


def _contribution(lines: Iterable[ReceiptLine]) -> tuple[Tile, int]:
    values = lift([(line.quantity, line.unit_price, line.promotion_id is not None) for line in lines])
    return values, max([line.unit_price for line in lines if line.quantity > 0], default=NO_PRICE)


def apply(state: SalesState, sale: Sale, offset: int, lateness: int) -> Outcome:
    """Adds one sale to the state, unless it was added before or comes too late. Follow it with `settle` before the next read."""
    outcome = state.admit(sale.identity, sale.event_time, offset, lateness)
    if outcome != "applied":
        return outcome
    tiles.add_to(state.rings, sale.tiles, sale.values)
    same_hour.add_to(state.weeks, sale.tiles[_HOUR], sale.values[_UNITS])
    if sale.event_time > state.heard:
        state.heard = sale.event_time
    if sale.unit_price != NO_PRICE and (state.last is None or sale.event_time >= state.last[0]):
        latest = LastSale(sale.event_time, sale.event_id, sale.unit_price)
        if state.last is None or latest > LastSale(*state.last):
            state.last = (latest.event_time, latest.event_id, latest.unit_price)
    return outcome


def settle(state: SalesState, calendar: Calendar, lateness: int) -> tuple[int | None, dict[str, Any]]:
    """Drops what no window as of now or later covers. Returns when the row next changes by itself, and its features."""
    state.forget(lateness)
    reading, weeks = tiles.read(state.rings, calendar, state.as_of), same_hour.read(state.weeks, calendar, state.as_of)
    return _due(state, calendar, reading.leaves_at, weeks.changes_at), _features(state, reading.sums, weeks.units)


def due(state: SalesState, calendar: Calendar) -> int | None:
    """The first instant after the as-of time at which the row changes with no event, ms; None when it never does.

    That is when the oldest tile leaves a window, when another hour of the last weeks becomes the same hour, or the next local
    midnight, at which an unchanged row too is written again so that its age shows a living writer, not a dead one.
    """
    reading, weeks = tiles.read(state.rings, calendar, state.as_of), same_hour.read(state.weeks, calendar, state.as_of)
    return _due(state, calendar, reading.leaves_at, weeks.changes_at)


def advance(state: SalesState, now: int) -> None:
    """Moves the as-of time on to an instant (ms) without an event; never back."""
    state.as_of = max(state.as_of, now)


def _due(state: SalesState, calendar: Calendar, *changes: int | None) -> int | None:
    silent = state.as_of - state.heard >= SILENT_DAYS * DAY_MS
    first = None if silent else calendar.day_start(calendar.day(state.as_of) + 1)
    for change in changes:
        if change is not None and (first is None or change < first):
            first = change
    return first


def _features(state: SalesState, sums: list[Tile], same_hours: int) -> dict[str, Any]:
    last = _last(state.last) if state.last else _NEVER_SOLD
    values = (*_windowed(_with_ratios(sums)), *[same_hours] * len(_SAME_HOUR), *last)
    return dict(zip(_NAMES, values, strict=True))


def _with_ratios(sums: list[Tile]) -> list[int | float | None]:
    """The sums of all windows, each followed by its ratios. Windows that hold the same sales share one tile, and one division."""
    row: list[int | float | None] = []
    known: Tile | None = None
    for total in sums:
        if total is not known:
            ratios, known = [total[over] / total[under] if total[under] else None for over, under in _TERMS], total
        row += total
        row += ratios
    return row
