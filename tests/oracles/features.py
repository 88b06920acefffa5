"""Slow and obvious: features as of an instant, by looking at every event. Shares nothing with the kernel or with Spark."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Line:
    """A receipt line, as the oracle sees it."""

    event_id: str
    at: int
    product: str
    quantity: int
    price: int
    promoted: bool
    category: str | None = None


def window_starts(as_of: int, zone: str) -> dict[str, int]:
    """The first instant of each window, from its definition in words."""
    local = dt.datetime.fromtimestamp(as_of / 1000, ZoneInfo(zone)).date()

    def midnight(days_ago: int) -> int:
        day = local - dt.timedelta(days=days_ago)
        return int(dt.datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).timestamp() * 1000)

    five, hour = 300_000, 3_600_000
    return {
        "1h": as_of - as_of % five - 12 * five,
        "24h": as_of - as_of % hour - 24 * hour,
        "today": midnight(0),
        "7d": midnight(7),
        "28d": midnight(28),
    }


def same_hours(as_of: int, zone: str) -> list[int]:
    """The starts of the UTC hours that hold the instants 7, 14, 21 and 28 local days back, at the same distance from midnight."""

    def midnight(date: dt.date) -> float:
        return dt.datetime(date.year, date.month, date.day, tzinfo=ZoneInfo(zone)).timestamp() * 1000

    today = dt.datetime.fromtimestamp(as_of / 1000, ZoneInfo(zone)).date()
    instants = [midnight(today - dt.timedelta(weeks=weeks)) + as_of - midnight(today) for weeks in (1, 2, 3, 4)]
    return [int(instant) // 3_600_000 * 3_600_000 for instant in instants]


def sales_rolling(lines: Iterable[Line], as_of: int, zone: str) -> dict[str, Any]:
    """The features of `sales_rolling` of one store × product as of an instant, from all of its receipt lines."""
    known = [line for line in lines if line.at <= as_of]
    found: dict[str, Any] = {}
    for window, start in window_starts(as_of, zone).items():
        inside = [line for line in known if line.at >= start]
        sold, returned = [one for one in inside if one.quantity > 0], [one for one in inside if one.quantity < 0]
        units, cents = sum(one.quantity for one in sold), sum(one.quantity * one.price for one in sold)
        found |= {
            f"units_{window}": units,
            f"receipts_{window}": len({one.event_id for one in sold}),
            f"sales_{window}": cents,
            f"refunds_{window}": -sum(one.quantity * one.price for one in returned),
            f"returned_units_{window}": -sum(one.quantity for one in returned),
            f"promotion_share_{window}": sum(one.quantity for one in sold if one.promoted) / units if units else None,
            f"mean_price_{window}": cents / units if units else None,
            f"units_per_receipt_{window}": units / len({one.event_id for one in sold}) if sold else None,
        }
    starts = same_hours(as_of, zone)
    found["units_same_hour_4w"] = sum(
        one.quantity for one in known for start in starts if one.quantity > 0 and start <= one.at < start + 3_600_000
    )
    last = max(((one.at, one.event_id, one.price) for one in known if one.quantity > 0), default=None)
    return found | {"last_price": last[2] if last else None, "last_sale_ms": last[0] if last else None}
