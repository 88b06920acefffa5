"""gold.daily by plain loops over the accepted events: slow, obvious, and without a line of the lake's own code."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from contracts.events import InventoryEvent, PriceEvent, Receipt

Key = tuple[str, str, dt.date]
ZoneOf = Callable[[str], ZoneInfo]


def daily(
    receipts: Sequence[Receipt], stock: Sequence[InventoryEvent], plans: Sequence[PriceEvent], zone_of: ZoneOf
) -> dict[Key, dict[str, Any]]:
    """Each row of gold.daily by store, product and local day."""
    latest = max(receipt.event_time for receipt in receipts)
    rows: dict[Key, dict[str, Any]] = {}
    for store, product, first, last in _on_sale(receipts, stock, zone_of):
        history: dict[dt.date, dict[str, Any]] = {}
        for day in _days(first, last):
            start, end = _bounds(day, zone_of(store))
            row = _sums(receipts, store, product, start, end)
            row |= _price(plans, store, product, day)
            row["in_stock"] = _in_stock(stock, store, product, start, min(end, latest))
            row |= _closing(stock, store, product, start, min(end, latest))
            row["complete"] = end <= latest
            row["demand"], row["demand_reason"] = _demand(row, day, history)
            history[day] = row
            rows[store, product, day] = row
    return rows


def _on_sale(
    receipts: Iterable[Receipt], stock: Iterable[InventoryEvent], zone_of: ZoneOf
) -> Iterable[tuple[str, str, dt.date, dt.date]]:
    begins: dict[tuple[str, str], dt.date] = {}
    ends: dict[str, dt.date] = {}
    for receipt in receipts:
        day = _day(receipt.event_time, zone_of(receipt.store_id))
        ends[receipt.store_id] = max(day, ends.get(receipt.store_id, day))
        for line in receipt.lines:
            series = (receipt.store_id, line.product_id)
            begins[series] = min(day, begins.get(series, day))
    for event in stock:
        if event.kind == "count" and event.quantity > 0:
            day = _day(event.event_time, zone_of(event.store_id))
            series = (event.store_id, event.product_id)
            begins[series] = min(day, begins.get(series, day))
    return [(store, product, first, ends[store]) for (store, product), first in begins.items() if store in ends]


def _sums(receipts: Iterable[Receipt], store: str, product: str, start: int, end: int) -> dict[str, Any]:
    row = dict.fromkeys(("units", "returned_units", "sales_cents", "refund_cents", "receipts", "promotion_units"), 0)
    for receipt in receipts:
        if receipt.store_id != store or not start <= receipt.event_time < end:
            continue
        lines = [line for line in receipt.lines if line.product_id == product]
        for line in lines:
            if line.quantity > 0:
                row["units"] += line.quantity
                row["sales_cents"] += line.quantity * line.unit_price
                row["promotion_units"] += line.quantity if line.promotion_id else 0
            else:
                row["returned_units"] -= line.quantity
                row["refund_cents"] -= line.quantity * line.unit_price
        row["receipts"] += any(line.quantity > 0 for line in lines)
    return dict(row)


def _price(plans: Iterable[PriceEvent], store: str, product: str, day: dt.date) -> dict[str, Any]:
    holding = [
        plan
        for plan in plans
        if plan.product_id == product
        and plan.store_id in (store, "*")
        and plan.valid_from <= day
        and (plan.valid_to is None or day <= plan.valid_to)
    ]
    if not holding:
        return {"price": None, "list_price": None, "promoted": False, "promotion_id": None}
    best = max(
        holding,
        key=lambda plan: (plan.store_id != "*", plan.valid_to is not None, plan.valid_from, plan.event_time, plan.event_id),
    )
    promotion = best.promotion_id
    return {"price": best.price, "list_price": best.list_price, "promoted": promotion is not None, "promotion_id": promotion}


def _in_stock(stock: Iterable[InventoryEvent], store: str, product: str, start: int, end: int) -> float | None:
    """Walks the step function from one event to the next through [start, end)."""
    events = sorted(
        (event for event in stock if (event.store_id, event.product_id) == (store, product)),
        key=lambda event: (event.event_time, event.event_id),
    )
    level: int | None = None
    known = stocked = 0
    for at, event in enumerate(events):
        if event.kind == "count":
            level = event.quantity
        elif level is not None:
            level += event.quantity
        until = events[at + 1].event_time if at + 1 < len(events) else end
        span = max(min(until, end) - max(event.event_time, start), 0)
        if level is not None:
            known += span
            stocked += span if level > 0 else 0
    return stocked / known if known else None


def _closing(stock: Iterable[InventoryEvent], store: str, product: str, start: int, end: int) -> dict[str, Any]:
    """What is there just before `end`, the count it rests on, and what moved since `start`."""
    events = [event for event in stock if (event.store_id, event.product_id) == (store, product) and event.event_time < end]
    counts = [event for event in events if event.kind == "count"]
    today = [event for event in events if event.event_time >= start]
    row: dict[str, Any] = {
        "closing_on_hand": None,
        "counted_at": None,
        "received_units": sum(event.quantity for event in today if event.kind == "receipt"),
        "adjusted_units": sum(event.quantity for event in today if event.kind == "adjustment"),
        "transferred_units": sum(event.quantity for event in today if event.kind == "transfer"),
    }
    if counts:
        count = max(counts, key=_order)
        since = [event.quantity for event in events if event.kind != "count" and _order(event) > _order(count)]
        row["closing_on_hand"] = count.quantity + sum(since)
        row["counted_at"] = dt.datetime.fromtimestamp(count.event_time / 1000, dt.UTC).replace(tzinfo=None)
    return row


def _order(event: InventoryEvent) -> tuple[int, str]:
    return event.event_time, event.event_id


def _demand(row: dict[str, Any], day: dt.date, history: dict[dt.date, dict[str, Any]]) -> tuple[float, str]:
    if not row["complete"]:
        return float(row["units"]), "running"
    if row["in_stock"] is None or row["in_stock"] == 1:
        return float(row["units"]), "observed"
    window = [day - dt.timedelta(days=back) for back in range(1, 29)]
    usable = {past: history[past]["units"] for past in window if past in history and history[past]["in_stock"] in (None, 1)}
    if not usable:
        return float(row["units"]), "no_history"
    same = [units for past, units in usable.items() if past.weekday() == day.weekday()]
    level = (sum(same) + 4 * (sum(usable.values()) / len(usable))) / (len(same) + 4)
    out = 1 - row["in_stock"]
    return row["units"] + out * out * level, "out_of_stock" if row["in_stock"] == 0 else "partly_out_of_stock"


def _day(time_ms: int, zone: ZoneInfo) -> dt.date:
    return dt.datetime.fromtimestamp(time_ms / 1000, zone).date()


def _bounds(day: dt.date, zone: ZoneInfo) -> tuple[int, int]:
    start, end = (dt.datetime.combine(each, dt.time(), zone) for each in (day, day + dt.timedelta(days=1)))
    return int(start.timestamp() * 1000), int(end.timestamp() * 1000)


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
