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


def days_of_cover(on_hand: int | None, units_28d: int | None) -> float | None:
    """For how many days the units on hand last at the rate of the last 28 days. None without a count or without a sale."""
    if on_hand is None or not units_28d:
        return None
    return max(on_hand, 0) * 28 / units_28d


def discount(price: PlannedPrice | None) -> float | None:
    """The planned discount as a share of the list price. None where no price or no list price is known."""
    return None if price is None or not price.list_price else 1.0 - price.price / price.list_price


def days_to_price_change(day: int, own: Mapping[str, Any] | None, chain: Mapping[str, Any] | None) -> int | None:
    """How many local days until another price holds, or another one is promoted. None where no change is announced."""
    now = planned_price(day, own, chain)
    starts = {start for row in (own, chain) if row for start in row.get("plan_from") or ()}
    ends = {end + 1 for row in (own, chain) if row for end in row.get("plan_to") or ()}
    later = sorted(edge for edge in starts | ends if day < edge < OPEN_ENDED)
    return next((edge - day for edge in later if planned_price(edge, own, chain) != now), None)


@dataclass(frozen=True, slots=True)
class RequestFeature:
    """One feature that no row holds, since it changes from instant to instant: what it is made of, and why it is asked for."""

    name: str
    unit: str
    made_of: str
    why: str


REQUEST_FEATURES = (
    RequestFeature("hours_since_last_sale", "hours", "last_sale_ms", "how long a product has been silent"),
    RequestFeature("days_of_cover", "days", "on_hand, units_28d", "how long the shelf lasts at the usual rate"),
    RequestFeature(
        "planned_price", "cents", "price_plan of the store and of all stores", "the price of the day that is asked for"
    ),
    RequestFeature("planned_discount", "share of the list price", "price_plan", "what is given off on that day"),
    RequestFeature("planned_promotion", "0 or 1", "price_plan", "whether that day is one of a promotion"),
    RequestFeature("days_to_price_change", "days", "price_plan", "demand moves before and after a change of the price"),
)


def request_features(
    as_of: int,
    day: int,
    rolling: Mapping[str, Any] | None,
    stock: Mapping[str, Any] | None,
    prices: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None],
) -> dict[str, float | int | None]:
    """The REQUEST_FEATURES of one store × product by name, asked at an instant (ms) about a local day.

    The rows are online rows, None where there is none; `prices` are the store's own plans and those of all stores.
    """
    rolling, stock = rolling or {}, stock or {}
    price = planned_price(day, *prices)
    return {
        "hours_since_last_sale": hours_since(rolling.get("last_sale_ms"), as_of),
        "days_of_cover": days_of_cover(stock.get("on_hand"), rolling.get("units_28d")),
        "planned_price": None if price is None else price.price,
        "planned_discount": discount(price),
        "planned_promotion": None if price is None else int(price.promoted),
        "days_to_price_change": days_to_price_change(day, *prices),
    }


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
