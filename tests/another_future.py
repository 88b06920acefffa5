"""Two histories that agree up to an instant and in nothing after it: what is computed as of that instant must be the same."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable

import msgspec

from contracts.events import InventoryEvent, PriceEvent, Receipt, ReceiptLine
from tests import lake_world
from tests.lake_world import LONDON, NEW_YORK, Event

CUT = dt.datetime(2024, 4, 1, 13, 30, tzinfo=dt.UTC)  # in the middle of a day, with ten days of history after it
CUT_MS = int(CUT.timestamp() * 1000)


def the_past_and_its_future() -> list[Event]:
    """Events of two stores, in the order of their times; lines have a category."""
    events = [_in_a_category(message.event) for message in lake_world.history() if message.event is not None]
    return sorted(events, key=lambda event: event.event_time)


def another_future(events: Iterable[Event]) -> list[Event]:
    """The same events up to the cut; after it other sales, a stock that is never there, and a price that nobody planned."""
    rng = random.Random(11)
    found: list[Event] = []
    for event in events:
        if event.event_time <= CUT_MS:
            found.append(event)
        elif isinstance(event, Receipt) and rng.random() < 0.7:
            line = ReceiptLine(
                rng.choice(lake_world.PRODUCTS), rng.randrange(50, 90), rng.randrange(1, 9), 9, "planted", "planted"
            )
            found.append(msgspec.structs.replace(event, lines=(line, *rng.sample(event.lines, 1))))
        elif isinstance(event, InventoryEvent):
            found.append(msgspec.structs.replace(event, kind="count", quantity=0))
    last = dt.date(2024, 12, 31)
    found += [
        PriceEvent(f"planted-{store}-{product}", CUT_MS + 1, product, CUT.date(), 1, 1, store, last, "planted")
        for store in (LONDON, NEW_YORK)
        for product in lake_world.PRODUCTS
    ]
    return found


def _in_a_category(event: Event) -> Event:
    if not isinstance(event, Receipt):
        return event
    lines = tuple(msgspec.structs.replace(line, category_id=line.product_id[-3:]) for line in event.lines)
    return msgspec.structs.replace(event, lines=lines)
