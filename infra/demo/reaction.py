"""A burst of sales through the front door, and the forecast before and after it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from contracts.clock import system_clock
from contracts.errors import DataGateError
from contracts.events import Receipt, ReceiptLine
from contracts.settings import Settings
from contracts.topics import SALES
from infra.api_client import Api

HORIZON_DAYS = 7
BURST_UNITS = 3  # a receipt
LEAST_DAILY_UNITS = 5.0  # a product that sells less has no usual day to speak of
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05


def expected_units(forecast: dict[str, Any]) -> float:
    """Mean units still to come over the horizon; what is sold already is not in it, so a burst does not raise it by itself."""
    return sum(float(day["mean"]) for day in forecast["days"])


def forecasts(api: Api, store_id: str, product_ids: list[str]) -> list[dict[str, Any]]:
    """The forecasts of some products of a store."""
    asked = {"store_id": store_id, "product_ids": product_ids, "horizon_days": HORIZON_DAYS}
    return list(api.post("/v1/forecasts", asked)["forecasts"])


def order(api: Api, store_id: str, product_id: str) -> dict[str, Any]:
    """The order proposed for one product."""
    return dict(api.post("/v1/replenishment", {"store_id": store_id, "product_ids": [product_id]})["orders"][0])


def wait_for_model(settings: Settings, version: str) -> None:
    """Returns once the API answers with this model version. Raises DataGateError after a minute."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (serving := _serving(settings)) != version:
        if time.monotonic() > deadline:
            raise DataGateError(f"The API serves version {serving}, the champion is {version}", doing="waiting for the swap")
        time.sleep(0.5)


def _serving(settings: Settings) -> str | None:
    version = requests.get(f"{settings.api}/readyz", timeout=10).json().get("model_version")
    return None if version is None else str(version)


@dataclass(frozen=True, slots=True)
class Burst:
    """A usual day's sales of a product, all at once: `receipts` of BURST_UNITS each, at the price (cents) of its latest sale."""

    store_id: str
    product_id: str
    receipts: int
    price: int


def plan_burst(rows: Iterable[Mapping[str, Any]]) -> Burst:
    """A burst for the product that sold least of late, by its own measure, of those that sell every day.

    So each run of the demo surprises the model with something that it has seen happen; one product bought out again and again
    would soon lie beyond all that it was trained on. `rows` are rows of `sales_rolling`. Raises DataGateError where
    nothing sells.
    """
    usual = [(row["units_28d"] / 28, row) for row in rows]
    steady = [(row["units_24h"] / daily, daily, row) for daily, row in usual if daily >= LEAST_DAILY_UNITS]
    if not steady:
        raise DataGateError(f"No product sells {LEAST_DAILY_UNITS:.0f} units a day", doing="preparing a burst of sales")
    _, daily, row = min(steady, key=lambda one: (one[0], -one[1]))
    return Burst(row["store_id"], row["product_id"], math.ceil(daily / BURST_UNITS), row["last_price"])


def react(settings: Settings, api: Api, burst: Burst) -> dict[str, Any]:
    """The forecast before and after a burst of receipts, and the seconds from the first receipt sent to the new answer."""
    from streams.producers.publish import Publisher

    before = forecasts(api, burst.store_id, [burst.product_id])[0]
    line = ReceiptLine(product_id=burst.product_id, quantity=BURST_UNITS, unit_price=burst.price, list_price=burst.price)
    started, now = time.monotonic(), system_clock()
    with Publisher(settings, client_id="rd360-demo") as publisher:
        for _ in range(burst.receipts):
            publisher.publish(SALES, Receipt(str(uuid.uuid4()), now, burst.store_id, "pos", (line,)))
    wanted = (before["units_sold_today"] or 0) + burst.receipts * BURST_UNITS
    while (after := forecasts(api, burst.store_id, [burst.product_id])[0])["units_sold_today"] < wanted:
        if time.monotonic() - started > DEADLINE_SECONDS:
            raise DataGateError(
                f"{after['units_sold_today']} units sold today, {wanted} expected {DEADLINE_SECONDS:.0f} s after the burst",
                doing="waiting for the features",
                hint="`./rd360 stream drain` says whether the worker is behind, `./rd360 logs worker` why.",
            )
        time.sleep(POLL_SECONDS)
    return {
        "store_id": burst.store_id,
        "product_id": burst.product_id,
        "burst_receipts": burst.receipts,
        "burst_units": burst.receipts * BURST_UNITS,
        "before_units": round(expected_units(before), 2),
        "after_units": round(expected_units(after), 2),
        "seconds": round(time.monotonic() - started, 3),
        "fallback": after["fallback"],
        "model_version": after["model_version"],
    }
