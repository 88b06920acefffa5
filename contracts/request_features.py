"""Features that exist only once a question is asked: they need the as-of time and the target day.

Training and serving call the same functions, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.windows import DAY_MS, Calendar

OPEN_ENDED = 2**31 - 1  # `plan_to` of a plan without an end


@dataclass(frozen=True, slots=True)
class PlannedPrice:
    """The price announced for one store-local day, in cents."""

    price: int
    list_price: int
    promoted: bool


@dataclass(frozen=True, order=True, slots=True)
class Plan:
    """One announced price. Plans order by precedence: a bounded one beats an open-ended one, then the later start, then the
    later announcement."""

    bounded: bool
    valid_from: int
    announced_ms: int
    event_id: str
    valid_to: int
    price: int
    list_price: int
    promoted: bool


def pack_plans(plans: Sequence[Plan]) -> dict[str, list[int]]:
    """The columns of a `price_plan` row: plans in ascending precedence."""
    ordered = sorted(plans)
    return {
        "plan_from": [plan.valid_from for plan in ordered],
        "plan_to": [plan.valid_to for plan in ordered],
        "plan_price": [plan.price for plan in ordered],
        "plan_list_price": [plan.list_price for plan in ordered],
        "plan_promoted": [int(plan.promoted) for plan in ordered],
    }


def live_plans(plans: Iterable[Plan], as_of: int) -> list[Plan]:
    """The plans of one store (or of all stores) that can still set a price on or after the as-of day, in ascending precedence.

    A plan is dropped once it has ended, an open-ended one also once a stronger open-ended one has started. Days are UTC with
    one day of grace, so that no zone loses a plan early. What is dropped would be dropped at every later as-of time too.
    """
    yesterday = as_of // DAY_MS - 1
    alive = sorted(plan for plan in plans if plan.valid_to >= yesterday)
    started = [plan for plan in alive if not plan.bounded and plan.valid_from <= yesterday]
    return [plan for plan in alive if plan.bounded or not started or plan >= started[-1]]


def planned_price(day: int, own: Mapping[str, Any] | None, chain: Mapping[str, Any] | None) -> PlannedPrice | None:
    """The price planned for a local day: the store's own plans beat those for all stores. None where nothing is announced."""
    for row in (own, chain):
        if row is None:
            continue
        starts, ends = row.get("plan_from") or (), row.get("plan_to") or ()
        for at in range(len(starts) - 1, -1, -1):
            if starts[at] <= day <= ends[at]:
                return PlannedPrice(int(row["plan_price"][at]), int(row["plan_list_price"][at]), bool(row["plan_promoted"][at]))
    return None


def share_of_day_left(calendar: Calendar, as_of: int) -> float:
    """The share of the as-of local day still to come, 1.0 at its first instant."""
    day = calendar.day(as_of)
    start, end = calendar.day_start(day), calendar.day_start(day + 1)
    return (end - as_of) / (end - start)


def hours_since(event_ms: int | None, as_of: int) -> float | None:
    """Hours from an event to the as-of time, not below 0. None where there was no event."""
    return None if event_ms is None else max(as_of - event_ms, 0) / 3_600_000


def weekday(day: int) -> int:
    """0 for Monday to 6 for Sunday, of a local day number."""
    return (day + 3) % 7  # 1970-01-01 was a Thursday


def day_of_year_phase(day: int) -> float:
    """The place in the year as a number in [0, 1), by the mean length of the year."""
    return (day % 365.2425) / 365.2425


def age_seconds(as_of: int, now: int) -> float:
    """How old a row is, in seconds, not below 0."""
    return max(now - as_of, 0) / 1000


def whole_days(milliseconds: int) -> float:
    """Milliseconds as days."""
    return milliseconds / DAY_MS
