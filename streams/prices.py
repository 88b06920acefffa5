"""The kernel of `price_plan`: the announced prices of one product, in one store or in all, that are not over.

As of the latest announcement of the key. Readers resolve them with `contracts.request_features.planned_price`.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from contracts.events import PriceEvent
from contracts.request_features import OPEN_ENDED, Plan, live_plans, pack_plans
from contracts.windows import EPOCH
from streams.admission import Admission, Outcome, digest

PlanTuple = tuple[bool, int, int, str, int, int, int, bool]  # the fields of Plan, in its order


class PriceState(Admission, array_like=True):
    """One product × store (or all stores): its live plans."""

    plans: list[PlanTuple] = msgspec.field(default_factory=list)


def plan_of(event: PriceEvent) -> Plan:
    """An announcement as a plan, its days counted from 1970-01-01."""
    return Plan(
        bounded=event.valid_to is not None,
        valid_from=_day(event.valid_from),
        announced_ms=event.event_time,
        event_id=event.event_id,
        valid_to=OPEN_ENDED if event.valid_to is None else _day(event.valid_to),
        price=event.price,
        list_price=event.list_price,
        promoted=event.promotion_id is not None,
    )


def apply(state: PriceState, event: PriceEvent, offset: int, lateness: int) -> Outcome:
    """Takes an announcement into the state, unless it was taken before or comes too late."""
    outcome = state.admit(digest(event.event_id), event.event_time, offset, lateness)
    if outcome == "applied":
        plan = plan_of(event)
        state.plans.append(
            (
                plan.bounded,
                plan.valid_from,
                plan.announced_ms,
                plan.event_id,
                plan.valid_to,
                plan.price,
                plan.list_price,
                plan.promoted,
            )
        )
    return outcome


def settle(state: PriceState, lateness: int) -> None:
    """Drops the plans that can set no price any more."""
    state.forget(lateness)
    live = {(plan.announced_ms, plan.event_id) for plan in live_plans(_plans(state), state.as_of)}
    state.plans = [plan for plan in state.plans if (plan[2], plan[3]) in live]


def features(state: PriceState) -> dict[str, Any]:
    """The features of the view as of `state.as_of`, by name."""
    return pack_plans(live_plans(_plans(state), state.as_of))


def _plans(state: PriceState) -> list[Plan]:
    return [Plan(*plan) for plan in state.plans]


def _day(date: dt.date) -> int:
    return (date - EPOCH).days
