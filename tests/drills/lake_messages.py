"""What the lake's drills send: a retailer's events, some twice and some late, what its forecasts were, and one of every malformed
message.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from contracts.events import Event, ForecastDay, ForecastServed, InventoryEvent, PriceEvent, Receipt
from contracts.settings import Settings
from contracts.windows import EPOCH, StoreCalendars
from tests.drills.arrival import Sent
from tests.lake_world import Message, accepted, faults

FORECAST_EVERY = 20  # receipts: about a thousand forecasts among fifty thousand lines
DAYS_AHEAD = (0, 1, 6)


def shares(settings: Settings, sent: Sequence[Sent], number: int) -> list[list[Message]]:
    """The messages in so many shares of about the same size, in order."""
    ends = [len(sent) * (at + 1) // number for at in range(number)]
    return [_share(settings, sent[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _share(settings: Settings, sent: Sequence[Sent]) -> list[Message]:
    """The malformed ones stand last: some of them are variations of a receipt that has to come first."""
    messages = [Message(one.topic.kind, one.key.decode(), one.value, one.kind) for one in sent]
    receipts = [one.event for one in sent if isinstance(one.event, Receipt)]
    if not receipts:
        return messages
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    told = [_forecast(receipt, calendars) for receipt in receipts[::FORECAST_EVERY]]
    beside: list[Event] = [*told, *_stock_and_price(receipts[-1], calendars)]
    return messages + [accepted(event) for event in beside] + faults(settings, receipts[-1])


def _forecast(receipt: Receipt, calendars: StoreCalendars) -> ForecastServed:
    """What might have been forecast for the receipt's first product a moment before it: of its own day and of days after it."""
    product, units = receipt.lines[0].product_id, float(abs(receipt.lines[0].quantity))
    day = _day(receipt, calendars)
    quantiles = {"0.1": 0.0, "0.5": units, "0.9": 2 * units}
    coming = tuple(ForecastDay(day + dt.timedelta(days=ahead), units, quantiles) for ahead in DAYS_AHEAD)
    name, at = f"{receipt.event_id}-forecast", receipt.event_time
    return ForecastServed(name, at, receipt.store_id, product, at - 1, "demand", "1", None, 60.0, coming)


def _stock_and_price(receipt: Receipt, calendars: StoreCalendars) -> Iterator[Event]:
    """A count and a plan for what the receipt sold, so that a data set of receipts alone fills these tables too."""
    line, name, at = receipt.lines[0], receipt.event_id, receipt.event_time
    yield InventoryEvent(f"{name}-count", at, receipt.store_id, line.product_id, "count", 10)
    cents = max(line.unit_price, 1)
    yield PriceEvent(f"{name}-plan", at, line.product_id, _day(receipt, calendars), cents, cents, receipt.store_id)


def _day(receipt: Receipt, calendars: StoreCalendars) -> dt.date:
    return EPOCH + dt.timedelta(days=calendars.of(receipt.store_id).day(receipt.event_time))
