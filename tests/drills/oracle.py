"""A sample of online rows against the slow and obvious oracles, which share nothing with the stream or with Spark."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from contracts.events import InventoryEvent, PriceEvent, Receipt
from contracts.features import AS_OF, CATEGORY_ROLLING, PRICE_PLAN, SALES_ROLLING, STOCK, STORE_ROLLING
from contracts.request_features import planned_price
from contracts.windows import DAY_MS, EPOCH, WINDOWS, StoreCalendars
from lake.parity import Row, Sample, same
from tests.drills.arrival import Sent, keys_of
from tests.drills.lateness import Place
from tests.oracles.rolling import category_rolling, sales_rolling, store_rolling
from tests.oracles.standing import on_hand, price_on

Key = tuple[str, ...]
DAYS_AHEAD = 60
EXAMPLES = 5
Expected = Callable[[Key, Row, list[Sent]], tuple[dict[str, Any], dict[str, Any]]]  # what is online, what must be


@dataclass(slots=True)
class Oracle:
    """Keys looked at in all views, features that differ, and the first of them."""

    keys: int = 0
    mismatches: int = 0
    examples: list[str] = field(default_factory=list)


def check(
    sent: Iterable[Sent],
    online: Mapping[str, Mapping[Key, Row]],
    late: Mapping[str, Collection[Place]],
    calendars: StoreCalendars,
    sample: int,
) -> Oracle:
    """The findings on about `sample` keys of each view, chosen by their hash."""
    chosen = {view: _chosen(rows, sample) for view, rows in online.items()}
    events = _events_by_key(sent, chosen, late)
    found = Oracle()
    for view, expected in _expectations(calendars, late).items():
        for key in chosen.get(view, ()):
            seen, must = expected(key, online[view][key], events[view, key])
            wrong = [name for name in must if not same(seen[name], must[name])]
            found.keys += 1
            found.mismatches += len(wrong)
            found.examples += [f"{view} {'/'.join(key)} {name}: {seen[name]}, the oracle says {must[name]}" for name in wrong[:1]]
    del found.examples[EXAMPLES:]
    return found


def _chosen(rows: Mapping[Key, Row], sample: int) -> set[Key]:
    wanted = Sample(min(1.0, sample / len(rows))) if rows else Sample()
    return {key for key in rows if wanted.has(key)}


def _events_by_key(
    sent: Iterable[Sent], chosen: Mapping[str, set[Key]], late: Mapping[str, Collection[Place]]
) -> dict[tuple[str, Key], list[Sent]]:
    """Of each chosen key, what was sent and not set aside, repetitions included: the oracles know them themselves."""
    found: dict[tuple[str, Key], list[Sent]] = defaultdict(list)
    view_of = {"sales": SALES_ROLLING.name, "inventory": STOCK.name, "prices": PRICE_PLAN.name}
    sums = {view: chosen.get(view, set()) for view in (STORE_ROLLING.name, CATEGORY_ROLLING.name)}
    for one in sent:
        if isinstance(one.event, Receipt):
            own: set[Key] = {(one.event.store_id,), *((one.event.store_id, line.category_id or "") for line in one.event.lines)}
            for view, keys in sums.items():
                for key in own & keys:
                    found[view, key].append(one)
        view = view_of[one.topic.kind]
        for key in keys_of(one.event) & chosen.get(view, set()):
            if (one.partition, one.offset, *key) not in late.get(one.topic.kind, ()):
                found[view, key].append(one)
    return found


def _expectations(calendars: StoreCalendars, late: Mapping[str, Collection[Place]]) -> dict[str, Expected]:
    def rolling(key: Key, row: Row, events: list[Sent]) -> tuple[dict[str, Any], dict[str, Any]]:
        receipts = [json.loads(one.value) for one in events]
        must = sales_rolling(receipts, key[0], key[1], row[AS_OF], calendars.zone(key[0]))
        return {name: row[name] for name in must}, must

    def counted(store_id: str, events: list[Sent]) -> list[dict[str, Any]]:
        """The receipts without the products for which they were late."""
        receipts = [json.loads(one.value) for one in events]
        for one, receipt in zip(events, receipts, strict=True):
            place = one.partition, one.offset, store_id
            receipt["lines"] = [x for x in receipt["lines"] if (*place, x["product_id"]) not in late.get("sales", ())]
        return receipts

    def of_store(key: Key, row: Row, events: list[Sent]) -> tuple[dict[str, Any], dict[str, Any]]:
        must = store_rolling(counted(key[0], events), key[0], row[AS_OF], calendars.zone(key[0]))
        return {name: row[name] for name in must}, must

    def of_category(key: Key, row: Row, events: list[Sent]) -> tuple[dict[str, Any], dict[str, Any]]:
        must = category_rolling(counted(key[0], events), key[0], key[1], row[AS_OF], calendars.zone(key[0])) or {"a sale": None}
        return {name: row.get(name) for name in must}, must

    def stock(key: Key, row: Row, events: list[Sent]) -> tuple[dict[str, Any], dict[str, Any]]:
        first_ms = calendars.of(key[0]).window_start(WINDOWS["28d"], row[AS_OF])
        must = on_hand([one.event for one in events if isinstance(one.event, InventoryEvent)], row[AS_OF], first_ms)
        return {name: row[name] for name in must}, must

    sums: dict[str, Expected] = {STORE_ROLLING.name: of_store, CATEGORY_ROLLING.name: of_category}
    return {SALES_ROLLING.name: rolling, **sums, STOCK.name: stock, PRICE_PLAN.name: _prices}


def _prices(key: Key, row: Row, events: list[Sent]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The price of each day from the as-of day on, by its number."""
    first = row[AS_OF] // DAY_MS
    plans = [one.event for one in events if isinstance(one.event, PriceEvent)]
    seen, must = {}, {}
    for day in range(first, first + DAYS_AHEAD):
        planned = planned_price(day, row, None)
        seen[str(day)] = None if planned is None else [planned.price, planned.list_price, planned.promoted]
        price = price_on(plans, day, EPOCH)
        must[str(day)] = None if price is None else list(price)
    return seen, must
