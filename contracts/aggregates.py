"""Aggregates as commutative monoids over integers: EMPTY, `lift`, `merge`. Exact in any order and any grouping.

A feature names its value and its aggregate. Tiles hold the lifted and merged integers; a window merges tiles, and a ratio is one
double division of two of its integers, None over 0. Spark divides the same integers, so both sides agree to the last digit.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import add
from typing import Literal

import msgspec

AggregateName = Literal["sum", "ratio", "last", "same_hour"]

# What one receipt adds to one product: plain sums. Their order is the order of the numbers in a tile.
SALES_VALUES = ("units", "returned_units", "sales_cents", "refund_cents", "receipts", "promotion_units")
Tile = tuple[int, ...]  # a value, never changed in place: many windows and rings may share it


class LastSale(msgspec.Struct, frozen=True, gc=False, order=True):
    """The latest sale seen: the maximum by time, then id, then price, so that arrival order does not matter."""

    event_time: int
    event_id: str
    unit_price: int


EMPTY: Tile = (0,) * len(SALES_VALUES)


def lift(lines: Iterable[tuple[int, int, bool]]) -> Tile:
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


def merge(one: Tile, other: Tile) -> Tile:
    """The sum of two tiles."""
    return tuple(map(add, one, other))
