"""What `sales_rolling`, `store_rolling`, `category_rolling` must be, as plainly as can be: one loop over all receipts a feature.

Shares nothing with the kernel but the time-zone database. Slow on purpose.
"""

from __future__ import annotations

import datetime as dt
import functools
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Any

QUARTER_OF_AN_HOUR = 900_000


def sales_rolling(receipts: Iterable[Mapping[str, Any]], store_id: str, product_id: str, as_of: int, zone: str) -> dict[str, Any]:
    """The features of one store × product as of an instant (ms), from receipts as decoded JSON, in the order they were sent.

    The first receipt of an event_id with the product counts, the others do not. No receipt may be later than the as-of time:
    there is no upper bound here, as there is none in the features.
    """
    sales = list(_sales(receipts, store_id, product_id))
    since = _since(as_of, zone)

    def share(over: str, under: str, window: str) -> float | None:
        return _total(sales, over, since[window]) / below if (below := _total(sales, under, since[window])) else None

    found: dict[str, Any] = {}
    for window, first in since.items():
        found |= {
            f"units_{window}": _total(sales, "units", first),
            f"receipts_{window}": _total(sales, "receipts", first),
            f"sales_{window}": _total(sales, "sales", first),
        }
    for window in ("1h", "24h", "7d", "28d"):
        found |= {
            f"returned_units_{window}": _total(sales, "returned", since[window]),
            f"promotion_share_{window}": share("promoted", "units", window),
            f"mean_price_{window}": share("sales", "units", window),
            f"units_per_receipt_{window}": share("units", "receipts", window),
        }
    sold = [(sale["time"], sale["event_id"], sale["price"]) for sale in sales if sale["units"]]
    hours = {_same_hour(as_of, weeks, zone) for weeks in (1, 2, 3, 4)}
    return found | {
        "refunds_28d": _total(sales, "refunds", since["28d"]),
        "units_same_hour_4w": sum(sale["units"] for sale in sales if sale["time"] // 3_600_000 in hours),
        "last_price": max(sold)[2] if sold else None,
        "last_sale_ms": max(sold)[0] if sold else None,
    }


def store_rolling(receipts: Iterable[Mapping[str, Any]], store_id: str, as_of: int, zone: str) -> dict[str, Any]:
    """The features of one store as of an instant (ms): of each of its products the receipts that count for it, all together."""
    sales = list(_sales_of_all(receipts, store_id))
    since = _since(as_of, zone)
    found: dict[str, Any] = {}
    for window, first in since.items():
        found |= {
            f"store_units_{window}": _total(sales, "units", first),
            f"store_sales_{window}": _total(sales, "sales", first),
        }
    for window in ("24h", "7d", "28d"):
        units = _total(sales, "units", since[window])
        found[f"store_promotion_share_{window}"] = _total(sales, "promoted", since[window]) / units if units else None
    return found | {
        "store_refunds_28d": _total(sales, "refunds", since["28d"]),
        "store_returned_units_28d": _total(sales, "returned", since["28d"]),
    }


def category_rolling(
    receipts: Iterable[Mapping[str, Any]], store_id: str, category: str, as_of: int, zone: str
) -> dict[str, Any] | None:
    """The features of one category of a store as of an instant (ms), None where nothing was sold under it: of each product the
    receipts that count for it and whose lines of it name that category, or several of which it is the last by name."""
    sales = [sale for sale in _sales_of_all(receipts, store_id) if sale["category"] == category]
    if not sales:
        return None
    since = _since(as_of, zone)
    found: dict[str, Any] = {f"category_units_{window}": _total(sales, "units", first) for window, first in since.items()}
    for window in ("24h", "7d", "28d"):
        found[f"category_sales_{window}"] = _total(sales, "sales", since[window])
    for window in ("7d", "28d"):
        units = _total(sales, "units", since[window])
        found[f"category_promotion_share_{window}"] = _total(sales, "promoted", since[window]) / units if units else None
    return found


def _total(sales: Iterable[Mapping[str, Any]], value: str, since: int) -> int:
    return sum(sale[value] for sale in sales if sale["time"] >= since)


def _since(as_of: int, zone: str) -> dict[str, int]:
    """The first instant of each window, ms."""
    return {
        "1h": as_of // 300_000 * 300_000 - 12 * 300_000,
        "24h": as_of // 3_600_000 * 3_600_000 - 24 * 3_600_000,
        "today": _days_before(as_of, 0, zone),
        "7d": _days_before(as_of, 7, zone),
        "28d": _days_before(as_of, 28, zone),
    }


def _same_hour(as_of: int, weeks: int, zone: str) -> int:
    """The UTC hour, counted from 1970, as far from the start of its local day, weeks ago, as the as-of time is from its own."""
    into_the_day = as_of - _days_before(as_of, 0, zone)
    return (_days_before(as_of, 7 * weeks, zone) + into_the_day) // 3_600_000


def _sales(receipts: Iterable[Mapping[str, Any]], store_id: str, product_id: str) -> Iterable[dict[str, Any]]:
    """What each receipt of the store says of the product, once per event_id."""
    seen = set()
    for receipt in receipts:
        if receipt["store_id"] != store_id or receipt["event_id"] in seen:
            continue
        if any(line["product_id"] == product_id for line in receipt["lines"]):
            seen.add(receipt["event_id"])
            yield _sale(receipt, product_id)


def _sales_of_all(receipts: Iterable[Mapping[str, Any]], store_id: str) -> Iterable[dict[str, Any]]:
    """What each receipt of the store says of each of its products, once per event_id and product."""
    seen = set()
    for receipt in receipts:
        if receipt["store_id"] != store_id:
            continue
        for product_id in {line["product_id"] for line in receipt["lines"]}:
            if (receipt["event_id"], product_id) not in seen:
                seen.add((receipt["event_id"], product_id))
                yield _sale(receipt, product_id)


def _sale(receipt: Mapping[str, Any], product_id: str) -> dict[str, Any]:
    lines = [line for line in receipt["lines"] if line["product_id"] == product_id]
    sold = [line for line in lines if line["quantity"] > 0]
    back = [line for line in lines if line["quantity"] < 0]
    return {
        "event_id": receipt["event_id"],
        "time": receipt["event_time"],
        "units": sum(line["quantity"] for line in sold),
        "sales": sum(line["quantity"] * line["unit_price"] for line in sold),
        "promoted": sum(line["quantity"] for line in sold if line.get("promotion_id") is not None),
        "returned": sum(-line["quantity"] for line in back),
        "refunds": sum(-line["quantity"] * line["unit_price"] for line in back),
        "receipts": 1 if sold else 0,
        "price": max((line["unit_price"] for line in sold), default=None),
        "category": max((line["category_id"] for line in lines if line.get("category_id") is not None), default=None),
    }


@functools.lru_cache(maxsize=10_000)
def _days_before(as_of: int, days: int, zone: str) -> int:
    """The first instant of the local day that lies so many days before that of the as-of time, ms."""
    tz = zoneinfo.ZoneInfo(zone)

    def local_date(instant: int) -> dt.date:
        return dt.datetime.fromtimestamp(instant / 1000, tz).date()

    wanted = local_date(as_of) - dt.timedelta(days=days)
    instant = (as_of // QUARTER_OF_AN_HOUR - (days + 2) * 96) * QUARTER_OF_AN_HOUR
    while local_date(instant) < wanted:  # a day that a zone skipped begins with the next one
        instant += QUARTER_OF_AN_HOUR
    return instant
