"""What an order is decided from: the terms of ordering, the stock position and the demand of each day. Plain values.

Units are the product's base unit (pieces, or grams where it is weighed). Days are store-local.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.errors import UsageError

MAX_TERM_DAYS = 60  # of lead time and of review: beyond it a forecast of two weeks says nothing


@dataclass(frozen=True, slots=True)
class Terms:
    """How a product can be ordered. `service_level` is the critical ratio: the probability of not running out before the next
    order arrives. `shelf_life_days` is None where nothing spoils. Raises UsageError for terms that cannot be."""

    lead_time_days: int
    review_period_days: int
    pack_size: int = 1
    minimum_packs: int = 1
    service_level: float = 0.95
    shelf_life_days: int | None = None

    def __post_init__(self) -> None:
        _check(0 <= self.lead_time_days <= MAX_TERM_DAYS, f"lead_time_days is {self.lead_time_days}: 0 to {MAX_TERM_DAYS}")
        _check(
            1 <= self.review_period_days <= MAX_TERM_DAYS,
            f"review_period_days is {self.review_period_days}: 1 to {MAX_TERM_DAYS}",
        )
        _check(self.pack_size >= 1, f"pack_size is {self.pack_size}: at least 1 unit")
        _check(self.minimum_packs >= 1, f"minimum_packs is {self.minimum_packs}: at least 1 pack")
        _check(0 < self.service_level < 1, f"service_level is {self.service_level}: between 0 and 1")
        _check(
            self.shelf_life_days is None or self.shelf_life_days >= 1, f"shelf_life_days is {self.shelf_life_days}: at least 1"
        )

    @property
    def protection_days(self) -> int:
        """Local days, the running one included, that this order and the stock must last: what is ordered now arrives before the
        opening of the day `lead_time_days` ahead, what is ordered at the next review `review_period_days` later."""
        return self.lead_time_days + self.review_period_days


@dataclass(frozen=True, slots=True)
class Position:
    """Units that are there or on their way. A negative count is a counting error: nobody can sell from it, so it is 0."""

    on_hand: int
    on_order: int = 0

    @property
    def units(self) -> int:
        """The inventory position."""
        return max(self.on_hand, 0) + self.on_order


@dataclass(frozen=True, slots=True)
class DayDemand:
    """The demand of one local day: its mean and its quantiles at ascending levels, in units, neither negative nor crossing."""

    mean: float
    levels: tuple[float, ...]
    quantiles: tuple[float, ...]

    @classmethod
    def of(cls, mean: float, levels: Sequence[float], quantiles: Sequence[float]) -> DayDemand:
        """From a forecast as it comes: negative values become 0, crossing quantiles are sorted. Raises UsageError."""
        _check(len(levels) == len(quantiles) > 1, f"{len(levels)} levels and {len(quantiles)} quantiles: as many, and at least 2")
        _check(list(levels) == sorted(set(levels)) and levels[0] > 0 and levels[-1] < 1, "levels ascend between 0 and 1")
        _check(all(math.isfinite(value) for value in (mean, *quantiles)), "a forecast is a finite number")
        return cls(max(mean, 0.0), tuple(levels), tuple(sorted(max(value, 0.0) for value in quantiles)))


def critical_ratio(underage: float, overage: float) -> float:
    """The service level that minimises expected cost: underage / (underage + overage), the newsvendor's ratio.

    `underage` is what one unit of unmet demand costs, `overage` what one unit too many costs until the next order; same currency.
    """
    _check(underage > 0 and overage > 0, f"costs are positive, not {underage} and {overage}")
    return underage / (underage + overage)


def _check(holds: bool, why: str) -> None:
    if not holds:
        raise UsageError("These terms cannot be", doing="deciding an order", why=why, hint="See docs/api.md, replenishment.")
