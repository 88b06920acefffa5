"""What the online store knows of a store's products, read in one go, and what of it still holds at the instant of asking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.features import (
    AS_OF,
    CATALOGUE_FINGERPRINT,
    DEMAND_DAILY,
    FINGERPRINT,
    PRICE_PLAN,
    PRODUCT,
    SALES_ROLLING,
    STOCK,
    STORE,
    features_of,
)
from contracts.topics import ALL_STORES
from contracts.windows import WINDOWS, Calendar
from featurestore.online import OnlineStore

Row = Mapping[str, Any]
READS = 6  # reads of the store per request, each bounded by `settings.online_read_timeout_ms`
_WINDOWED = tuple((f.name, WINDOWS[f.window], f.default) for f in features_of(SALES_ROLLING.name) if f.window is not None)


@dataclass(frozen=True, slots=True)
class ProductRows:
    """The rows of one product in one store; None where there is none."""

    product_id: str
    rolling: Row | None
    stock: Row | None
    own_prices: Row | None
    chain_prices: Row | None
    daily: Row | None
    product: Row | None


@dataclass(frozen=True, slots=True)
class StoreRows:
    """The rows of one store: its own and those of the products that were asked for, in their order."""

    store_id: str
    store: Row | None
    products: list[ProductRows]


def read_rows(online: OnlineStore, store_id: str, product_ids: Sequence[str]) -> StoreRows:
    """The rows of the products in the store. Raises DependencyUnavailable. Blocks: call it off the event loop."""
    here = [(store_id, product) for product in product_ids]
    prices = online.read(PRICE_PLAN.name, [*here, *((ALL_STORES, product) for product in product_ids)])
    columns = zip(
        product_ids,
        online.read(SALES_ROLLING.name, here),
        online.read(STOCK.name, here),
        prices[: len(here)],
        prices[len(here) :],
        online.read(DEMAND_DAILY.name, here),
        online.read(PRODUCT.name, [(product,) for product in product_ids]),
        strict=True,
    )
    return StoreRows(store_id, online.read(STORE.name, [(store_id,)])[0], [ProductRows(*row) for row in columns])


def is_foreign(row: Row | None) -> bool:
    """Whether a row was written under another feature catalogue than this process's."""
    return row is not None and row[FINGERPRINT] != CATALOGUE_FINGERPRINT


def at_instant(rolling: Row, calendar: Calendar, instant: int) -> dict[str, Any]:
    """The rolling row as it stands at a later instant (ms), when no event of the key came since.

    A row is rewritten when a tile leaves a window, on the stream's clock, which rests while a store is closed: before the first
    sale of a day the row still has yesterday as `today`. A window that starts after the row's own time holds nothing of it.
    """
    over = {name: default for name, window, default in _WINDOWED if calendar.window_start(window, instant) > rolling[AS_OF]}
    return {**rolling, **over}
