"""The streaming views as data: which topic feeds each, what an event says of which keys, and how its state becomes a row.

`processor.py` drives them all alike; nothing here knows Faust, Kafka or Redis.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from contracts.events import InventoryEvent, PriceEvent, Receipt
from contracts.features import CATALOGUE_FINGERPRINT, PRICE_PLAN, SALES_ROLLING, STOCK, View
from contracts.settings import Settings
from contracts.topics import INVENTORY, PRICES, SALES, Topic
from contracts.windows import StoreCalendars
from featurestore.rows import GroupedRow, Layout, Values
from streams import prices, state, stock
from streams.admission import Admission, Outcome
from streams.sums import SalesSums, Sums

Key = tuple[str, str]  # store_id, product_id
Row = GroupedRow


# When a row next changes without an event, ms (None: never), and its features in the kernel's layout; both as of its state's
# as-of time.
Settled = tuple[int | None, tuple[Values, ...]]


class Kernel(Protocol):
    """One streaming view. States are its own kind of Admission; they are changed in place."""

    view: View
    topic: Topic
    layout: Layout

    def split(self, event: Any) -> Iterable[tuple[Key, Any]]:
        """What an event says of each key, once each."""
        ...

    def empty(self) -> Any:
        """The state of a key that nothing was heard of."""
        ...

    def encode(self, state: Any) -> bytes:
        """A state as it is stored."""
        ...

    def decode(self, raw: bytes) -> Any:
        """The state in `raw`."""
        ...

    def apply(self, state: Any, part: Any, offset: int) -> Outcome:
        """Takes one part of an event into a key's state."""
        ...

    def settle(self, key: Key, state: Any) -> Settled:
        """Drops what the state no longer needs, before it is stored, and reads it."""
        ...

    def due(self, key: Key, state: Any) -> int | None:
        """When its row next changes without an event, ms; None: never."""
        ...

    def advance(self, state: Any, now: int) -> None:
        """Moves its as-of time on to `now` ms."""
        ...

    def sums(self) -> Sums:
        """The sums over the states of one partition."""
        ...


class SalesKernel:
    """`sales_rolling`, from receipts."""

    view, topic = SALES_ROLLING, SALES
    layout = Layout(SALES_ROLLING.name, state.GROUPS)

    def __init__(self, calendars: StoreCalendars, lateness: int) -> None:
        self._calendars, self._lateness = calendars, lateness

    def split(self, event: Receipt) -> Iterable[tuple[Key, state.Sale]]:
        calendar = self._calendars.of(event.store_id)
        return [((event.store_id, product_id), sale) for product_id, sale in state.sales_of(event, calendar)]

    def empty(self) -> state.SalesState:
        return state.SalesState()

    def encode(self, state_: state.SalesState) -> bytes:
        return state.encode(state_)

    def decode(self, raw: bytes) -> state.SalesState:
        return state.decode(raw)

    def apply(self, state_: state.SalesState, part: state.Sale, offset: int) -> Outcome:
        return state.apply(state_, part, offset, self._lateness)

    def settle(self, key: Key, state_: state.SalesState) -> Settled:
        return state.settle(state_, self._calendars.of(key[0]), self._lateness)

    def due(self, key: Key, state_: state.SalesState) -> int | None:
        return state.due(state_, self._calendars.of(key[0]))

    def advance(self, state_: state.SalesState, now: int) -> None:
        state.advance(state_, now)

    def sums(self) -> SalesSums:
        return SalesSums(self._calendars)


class StockKernel:
    """`stock`, from counts and movements."""

    view, topic = STOCK, INVENTORY
    layout = Layout(STOCK.name, stock.GROUPS)

    def __init__(self, calendars: StoreCalendars, lateness: int) -> None:
        self._calendars, self._lateness = calendars, lateness

    def split(self, event: InventoryEvent) -> Iterable[tuple[Key, InventoryEvent]]:
        return [((event.store_id, event.product_id), event)]

    def empty(self) -> stock.StockState:
        return stock.StockState()

    def encode(self, state_: stock.StockState) -> bytes:
        return stock.encode(state_)

    def decode(self, raw: bytes) -> stock.StockState:
        return stock.decode(raw)

    def apply(self, state_: stock.StockState, part: InventoryEvent, offset: int) -> Outcome:
        return stock.apply(state_, part, offset, self._lateness)

    def settle(self, key: Key, state_: stock.StockState) -> Settled:
        return stock.settle(state_, self._calendars.of(key[0]), self._lateness)

    def due(self, key: Key, state_: stock.StockState) -> int | None:
        return stock.due(state_, self._calendars.of(key[0]))

    def advance(self, state_: stock.StockState, now: int) -> None:
        stock.advance(state_, now)

    def sums(self) -> Sums:
        return Sums()


class PriceKernel:
    """`price_plan`, from announcements: its rows change by events alone. A key's first part is `*` for plans of all stores."""

    view, topic = PRICE_PLAN, PRICES
    layout = Layout(PRICE_PLAN.name, prices.GROUPS)

    def __init__(self, lateness: int) -> None:
        self._lateness = lateness

    def split(self, event: PriceEvent) -> Iterable[tuple[Key, PriceEvent]]:
        return [((event.store_id, event.product_id), event)]

    def empty(self) -> prices.PriceState:
        return prices.PriceState()

    def encode(self, state_: prices.PriceState) -> bytes:
        return prices.encode(state_)

    def decode(self, raw: bytes) -> prices.PriceState:
        return prices.decode(raw)

    def apply(self, state_: prices.PriceState, part: PriceEvent, offset: int) -> Outcome:
        return prices.apply(state_, part, offset, self._lateness)

    def settle(self, key: Key, state_: prices.PriceState) -> Settled:  # noqa: ARG002  # the Protocol's signature
        prices.settle(state_, self._lateness)
        return None, prices.features(state_)

    def due(self, key: Key, state_: prices.PriceState) -> int | None:  # noqa: ARG002
        return None

    def advance(self, state_: prices.PriceState, now: int) -> None:
        """Never called: nothing is ever due."""

    def sums(self) -> Sums:
        return Sums()


def kernels(settings: Settings) -> tuple[Kernel, ...]:
    """All streaming views, one a source topic."""
    lateness = settings.allowed_lateness_ms
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    return SalesKernel(calendars, lateness), StockKernel(calendars, lateness), PriceKernel(lateness)


def row(layout: Layout, key: Key, state_: Admission, features: tuple[Values, ...]) -> Row:
    """The online row of a key as of its state: its features, with what every row has."""
    return GroupedRow(layout, key, ((state_.as_of, state_.offset, CATALOGUE_FINGERPRINT), *features))


def store_key(key: Key) -> bytes:
    """A key as it is stored. Identifiers hold no control character, so the separator is safe."""
    return "\x1f".join(key).encode()


def key_in_store(raw: bytes) -> Key:
    """The key in `raw`."""
    store_id, product_id = raw.decode().split("\x1f")
    return store_id, product_id
