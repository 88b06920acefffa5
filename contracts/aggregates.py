"""Aggregates as commutative monoids over integers: what a receipt adds, exact in any order and any grouping.

A feature names its value and its aggregate. Tiles hold the added integers; a window adds tiles up, and a ratio is one double
division of two of its integers, None over 0. Spark divides the same integers, so both sides agree to the last digit.
"""

from __future__ import annotations

from typing import Literal

AggregateName = Literal["sum", "ratio", "last", "same_hour"]

# What one receipt adds to one product: plain sums. Their order is the order of the numbers in a tile. `receipts` is 1 where it
# sold any unit of the product; returned lines count as `returned_units` and `refund_cents` alone. The last sale is the latest by
# time, then id, then price, so that the order of arrival does not matter.
SALES_VALUES = ("units", "returned_units", "sales_cents", "refund_cents", "receipts", "promotion_units")
