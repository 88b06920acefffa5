"""A burst of sales through the front door, and the forecast before and after it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import requests

from contracts.clock import system_clock
from contracts.errors import DataGateError
from contracts.events import Receipt, ReceiptLine
from contracts.settings import Settings
from contracts.topics import SALES
from infra.api_client import Api

HORIZON_DAYS = 7
BURST_RECEIPTS, BURST_UNITS = 40, 3
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


def busiest_product(api: Api, store_id: str, product_ids: list[str]) -> str:
    """The product of a store with the highest forecast."""
    return str(max(forecasts(api, store_id, product_ids), key=expected_units)["product_id"])


def react(settings: Settings, api: Api, store_id: str, product_id: str) -> dict[str, Any]:
    """The forecast before and after a burst of receipts, and the seconds from the first receipt sent to the new answer."""
    from streams.producers.publish import Publisher

    before = forecasts(api, store_id, [product_id])[0]
    price = _usual_price(settings, store_id, product_id)
    started, now = time.monotonic(), system_clock()
    with Publisher(settings, client_id="rd360-demo") as publisher:
        for _ in range(BURST_RECEIPTS):
            line = ReceiptLine(product_id=product_id, quantity=BURST_UNITS, unit_price=price, list_price=price)
            publisher.publish(SALES, Receipt(str(uuid.uuid4()), now, store_id, "pos", (line,)))
    wanted = (before["units_sold_today"] or 0) + BURST_RECEIPTS * BURST_UNITS
    while (after := forecasts(api, store_id, [product_id])[0])["units_sold_today"] < wanted:
        if time.monotonic() - started > DEADLINE_SECONDS:
            raise DataGateError(
                f"{after['units_sold_today']} units sold today, {wanted} expected {DEADLINE_SECONDS:.0f} s after the burst",
                doing="waiting for the features",
                hint="`./rd360 stream drain` says whether the worker is behind, `./rd360 logs worker` why.",
            )
        time.sleep(POLL_SECONDS)
    return {
        "store_id": store_id,
        "product_id": product_id,
        "burst_receipts": BURST_RECEIPTS,
        "burst_units": BURST_RECEIPTS * BURST_UNITS,
        "before_units": round(expected_units(before), 2),
        "after_units": round(expected_units(after), 2),
        "seconds": round(time.monotonic() - started, 3),
        "fallback": after["fallback"],
        "model_version": after["model_version"],
    }


def _usual_price(settings: Settings, store_id: str, product_id: str) -> int:
    """The price of the product's latest sale, in cents."""
    from featurestore.online import open_online_store

    store = open_online_store(settings)
    try:
        row = store.read("sales_rolling", [(store_id, product_id)])[0]
    finally:
        store.close()
    if row is None or row["last_price"] is None:
        raise DataGateError(f"{product_id} was never sold in {store_id}", doing="preparing a burst of sales")
    return int(row["last_price"])
