"""The kernel of `sales_rolling`: tiles of one store × product, and the features that windows over them give.

Pure: events and times in, integers out. A window is exact at its head (all events up to the as-of time) and rounded down to
its hop at its tail. A tile leaves each window once, at a time known beforehand: `due` says when the row next changes by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from contracts.aggregates import SALES_VALUES, LastSale, Tile, lift
from contracts.events import Receipt, ReceiptLine
from contracts.features import SALES_ROLLING, features_of
from contracts.windows import DAY_MS, Calendar, Hop
from featurestore.rows import Group, Values
from streams import same_hour, tiles
from streams.admission import Admission, Outcome, digest

NO_PRICE = -1
NO_CATEGORY = ""
SILENT_DAYS = 364  # a series without any event for so long is given up: its row is no longer refreshed every day
_AT = {name: at for at, name in enumerate(SALES_VALUES)}
_UNITS, (_, _HOUR, _DAY) = _AT["units"], range(len(Hop))
_FEATURES = features_of(SALES_ROLLING.name)
# What a window gives: its sums, then its ratios. Many windows of many keys hold the same sales, and give the same.
_QUOTIENTS = sorted({f.value for f in _FEATURES if f.aggregate == "ratio"})
_TERMS = [(_AT[over], _AT[under]) for over, under in (quotient.split("/") for quotient in _QUOTIENTS)]
_OF_A_WINDOW = (*SALES_VALUES, *_QUOTIENTS)
KEPT_WINDOWS = 1 << 14  # 5 MB at most


def groups_of_windows(view: str) -> tuple[Group, ...]:
    """The features of each window of a view, in the order of a reading of tiles."""
    named = {(f.window, f.value): f.name for f in features_of(view) if f.window is not None}
    windows = sorted(tiles.SLOT, key=lambda window: tiles.SLOT[window])
    return tuple(Group(tuple(named.get((window, value)) for value in _OF_A_WINDOW), recurs=True) for window in windows)


def _groups_of_no_window() -> tuple[Group, ...]:
    named: dict[tuple[str, str], str] = {(f.aggregate, f.value): f.name for f in _FEATURES if f.window is None}
    groups = (("same_hour", "units"), ("last", "unit_price")), (("last", "event_time"),)
    return tuple(Group(tuple(named[feature] for feature in group), recurs=True) for group in groups)


GROUPS = (*groups_of_windows(SALES_ROLLING.name), *_groups_of_no_window())


class _Windows(dict[Tile, Values]):
    """The sums and ratios of windows by their tile. Some are kept."""

    def __missing__(self, total: Tile) -> Values:
        found = self[total] = (*total, *(total[over] / total[under] if total[under] else None for over, under in _TERMS))
        if len(self) > KEPT_WINDOWS:
            self.clear()
        return found


of_window = _Windows().__getitem__  # what a window gives of its tile


class Sale(msgspec.Struct, frozen=True, gc=False):
    """What one receipt says of one product. `tiles` are those that hold its time, one a hop; `unit_price` is the price of its
    dearest sold line in cents, NO_PRICE without one; `identity` is the digest of its id; `category` is NO_CATEGORY where no line
    names one."""

    event_id: str
    identity: int
    event_time: int
    tiles: tuple[int, ...]
    values: Tile
    unit_price: int
    category: str


class SalesState(Admission, array_like=True):
    """One store × product: its rings of tiles in the order of Hop (tile index -> SALES_VALUES), its latest sale and latest event.

    `last` is (event_time, event_id, unit_price in cents) of the latest sale; `heard` is the latest event time; `weeks` is the
    units by hour of the last weeks. `category` is what most is sold under; `elsewhere` is the part of the rings that was sold
    under others, by their names: nearly always nothing.
    """

    rings: tiles.Rings = msgspec.field(default_factory=tiles.empty)
    last: tuple[int, str, int] | None = None
    heard: int = 0
    weeks: same_hour.UnitsByHour = msgspec.field(default_factory=dict)
    category: str = NO_CATEGORY
    elsewhere: dict[str, tiles.Rings] = msgspec.field(default_factory=dict)


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


def _contribution(lines: Iterable[ReceiptLine]) -> tuple[Tile, int, str]:
    """What a receipt's lines of one product add up to. Where they name several categories, the last by name is that of all."""
    values = lift([(line.quantity, line.unit_price, line.promotion_id is not None) for line in lines])
    price = max([line.unit_price for line in lines if line.quantity > 0], default=NO_PRICE)
    return values, price, max([line.category_id or NO_CATEGORY for line in lines])


def apply(state: SalesState, sale: Sale, offset: int, lateness: int) -> Outcome:
    """Adds one sale to the state, unless it was added before or comes too late. Follow it with `settle` before the next read."""
    outcome = state.admit(sale.identity, sale.event_time, offset, lateness)
    if outcome != "applied":
        return outcome
    tiles.add_to(state.rings, sale.tiles, sale.values)
    if sale.category != state.category:
        _add_elsewhere(state, sale)
    same_hour.add_to(state.weeks, sale.tiles[_HOUR], sale.values[_UNITS])
    if sale.event_time > state.heard:
        state.heard = sale.event_time
    if sale.unit_price != NO_PRICE and (state.last is None or sale.event_time >= state.last[0]):
        latest = LastSale(sale.event_time, sale.event_id, sale.unit_price)
        if state.last is None or latest > LastSale(*state.last):
            state.last = (latest.event_time, latest.event_id, latest.unit_price)
    return outcome


def settle(state: SalesState, calendar: Calendar, lateness: int) -> tuple[int | None, tuple[Values, ...]]:
    """Drops what no window as of now or later covers. Returns when the row next changes by itself, and its features in GROUPS."""
    state.forget(lateness)
    now = calendar.tiles(state.as_of)
    sums, leaves_at = tiles.read(state.rings, now, calendar)
    if state.elsewhere:
        _drop_elsewhere(state)
    units, changes_at = same_hour.read(state.weeks, state.as_of, now[_DAY], calendar)
    last_ms, price = (None, None) if state.last is None else (state.last[0], state.last[2])
    return _due(state, now[_DAY], calendar, leaves_at, changes_at), (*map(of_window, sums), (units, price), (last_ms,))


def due(state: SalesState, calendar: Calendar) -> int | None:
    """The first instant after the as-of time at which the row changes with no event, ms; None when it never does.

    That is when the oldest tile leaves a window, when another hour of the last weeks becomes the same hour, or the next local
    midnight, at which an unchanged row too is written again so that its age shows a living writer, not a dead one.
    """
    now = calendar.tiles(state.as_of)
    _, leaves_at = tiles.read(state.rings, now, calendar)
    _, changes_at = same_hour.read(state.weeks, state.as_of, now[_DAY], calendar)
    return _due(state, now[_DAY], calendar, leaves_at, changes_at)


def advance(state: SalesState, now: int) -> None:
    """Moves the as-of time on to an instant (ms) without an event; never back."""
    state.as_of = max(state.as_of, now)


def by_category(state: SalesState) -> Iterable[tuple[str, tiles.Rings]]:
    """The state's rings by the category that their sales were sold under, NO_CATEGORY too; all together are `rings`."""
    if not state.elsewhere:
        return [(state.category, state.rings)]
    own = tiles.empty()
    tiles.add_all(own, state.rings)
    for part in state.elsewhere.values():
        tiles.take_all(own, part)
    return [(state.category, own), *state.elsewhere.items()]


def _add_elsewhere(state: SalesState, sale: Sale) -> None:
    if not state.heard:  # its first sale says what it is
        state.category = sale.category
    else:
        tiles.add_to(state.elsewhere.setdefault(sale.category, tiles.empty()), sale.tiles, sale.values)


def _drop_elsewhere(state: SalesState) -> None:
    """Drops the tiles that the rings no longer have. Where one other category has all that is left, it is the product's own; the
    one before it keeps its name, since it has a row."""
    for part in state.elsewhere.values():
        tiles.keep(part, state.rings)
    for name, part in state.elsewhere.items():
        if part == state.rings:
            before = {} if state.category == NO_CATEGORY else {state.category: tiles.empty()}
            others = {other: tiles_ for other, tiles_ in state.elsewhere.items() if other != name}
            state.category, state.elsewhere = name, before | others
            return


def _due(state: SalesState, day: int, calendar: Calendar, *changes: int | None) -> int | None:
    silent = state.as_of - state.heard >= SILENT_DAYS * DAY_MS
    first = None if silent else calendar.day_start(day + 1)
    for change in changes:
        if change is not None and (first is None or change < first):
            first = change
    return first
