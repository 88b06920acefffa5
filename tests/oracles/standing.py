"""What `stock` and `price_plan` must be, from all events at once. Shares nothing with the kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contracts.events import InventoryEvent, PriceEvent


def once(events: Iterable[Any]) -> list[Any]:
    """The first event of each id."""
    return list({event.event_id: event for event in reversed(list(events))}.values())


def on_hand(events: Iterable[InventoryEvent]) -> dict[str, Any]:
    """The latest count and all movements after it."""
    events = once(events)
    counts = [(e.event_time, e.event_id, e.quantity) for e in events if e.kind == "count"]
    if not counts:
        return {"on_hand": None, "counted_ms": None}
    time, event_id, quantity = max(counts)
    moves = [e.quantity for e in events if e.kind != "count" and (e.event_time, e.event_id) > (time, event_id)]
    return {"on_hand": quantity + sum(moves), "counted_ms": time}


def price_on(events: Iterable[PriceEvent], day: int, epoch: Any) -> tuple[int, int, bool] | None:
    """(price, list price, promoted) of a day since 1970 among the plans of one key: bounded plans first, then the later start,
    then the later announcement."""
    best = None
    for event in once(events):
        first = (event.valid_from - epoch).days
        last = None if event.valid_to is None else (event.valid_to - epoch).days
        if first <= day and (last is None or day <= last):
            rank = (last is not None, first, event.event_time, event.event_id)
            if best is None or rank > best[0]:
                best = (rank, (event.price, event.list_price, event.promotion_id is not None))
    return None if best is None else best[1]
