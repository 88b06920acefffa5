"""What `stock` and `price_plan` must be, from all events at once. Shares nothing with the kernels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from contracts.events import InventoryEvent, PriceEvent


def once(events: Iterable[Any]) -> list[Any]:
    """The first event of each id."""
    return list({event.event_id: event for event in reversed(list(events))}.values())


def on_hand(events: Iterable[InventoryEvent], as_of: int, first_ms: int) -> dict[str, Any]:
    """The latest count and all movements after it; the hours without stock from `first_ms` to the as-of time, span by span."""
    ordered = sorted(once(events), key=lambda event: (event.event_time, event.event_id))
    counts = [at for at, event in enumerate(ordered) if event.kind == "count"]
    if not counts:
        return {"on_hand": None, "counted_ms": None, "hours_out_of_stock_28d": None}
    without = 0
    for at in range(counts[0], len(ordered)):
        until = ordered[at + 1].event_time if at + 1 < len(ordered) else as_of
        if _level(ordered[: at + 1]) <= 0:
            without += max(until - max(ordered[at].event_time, first_ms), 0)
    return {
        "on_hand": _level(ordered),
        "counted_ms": ordered[counts[-1]].event_time,
        "hours_out_of_stock_28d": without / 3_600_000,
    }


def _level(ordered: list[InventoryEvent]) -> int:
    last = max(at for at, event in enumerate(ordered) if event.kind == "count")
    return sum(event.quantity for event in ordered[last:])


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
