"""Aggregates as commutative monoids over integers: `empty`, `lift`, `merge`, `finish`. Exact in any order and any grouping.

A feature names its value and its aggregate. Tiles hold the lifted and merged integers; a window merges tiles and finishes.
Spark finishes the same integers with the same double division, so both sides agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

AggregateName = Literal["sum", "ratio", "last"]

# What one receipt adds to one product: plain sums. Their order is the order of the numbers in a tile.
SALES_VALUES = ("units", "returned_units", "sales_cents", "refund_cents", "receipts", "promotion_units")
Tile = list[int]


class Sale(msgspec.Struct, frozen=True, gc=False):
    """What one receipt says of one product. `unit_price` is the price of its dearest sold line in cents, -1 without one."""

    event_id: str
    event_time: int
    values: tuple[int, ...]
    unit_price: int


class LastSale(msgspec.Struct, frozen=True, gc=False, order=True):
    """The latest sale seen: the maximum by time, then id, then price, so that arrival order does not matter."""

    event_time: int
    event_id: str
    unit_price: int


def empty() -> Tile:
    """The neutral tile."""
    return [0] * len(SALES_VALUES)


def lift(lines: Iterable[tuple[int, int, bool]]) -> tuple[int, ...]:
    """The tile values of one receipt's lines of one product, given as (quantity, unit price in cents, on promotion)."""
    units = returned = sales = refund = promoted = 0
    for quantity, unit_price, on_promotion in lines:
        if quantity > 0:
            units += quantity
            sales += quantity * unit_price
            promoted += quantity if on_promotion else 0
        else:
            returned -= quantity
            refund -= quantity * unit_price
    return (units, returned, sales, refund, 1 if units else 0, promoted)


def merge_into(tile: Tile, values: Iterable[int]) -> None:
    """Adds values to a tile in place."""
    for at, value in enumerate(values):
        tile[at] += value


def ratio(numerator: int, denominator: int) -> float | None:
    """A ratio of two sums as a double, None where the denominator is 0."""
    return numerator / denominator if denominator else None
