"""gold.forecast_actual by plain loops over the forecasts, with the losses of the measures that models are judged by."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from contracts.events import ForecastServed, Receipt
from tests.oracles.lake_gold import Key, ZoneOf
from training.metrics import pinball


@dataclass(frozen=True, slots=True)
class Said:
    """One forecast × target day, whoever made it."""

    source: str
    event_id: str | None
    store_id: str
    product_id: str
    as_of_ms: int
    target_day: dt.date
    model: tuple[str, str]
    mean: float
    quantiles: dict[str, float]


def served(events: Iterable[ForecastServed]) -> list[Said]:
    """The days of answered forecasts."""
    return [
        Said(
            "served",
            event.event_id,
            event.store_id,
            event.product_id,
            event.as_of,
            day.target_day,
            (event.model_name, event.model_version),
            day.mean,
            day.quantiles,
        )
        for event in events
        for day in event.days
    ]


def actuals(
    said: Iterable[Said], daily: Mapping[Key, Mapping[str, Any]], receipts: Iterable[Receipt], zone_of: ZoneOf
) -> list[dict[str, Any]]:
    """Each forecast with what came, in the names of the table's columns; `model` is name and version in one."""
    receipts = list(receipts)
    return [_held(one, daily, receipts, zone_of) for one in said]


def _held(one: Said, daily: Mapping[Key, Mapping[str, Any]], receipts: list[Receipt], zone_of: ZoneOf) -> dict[str, Any]:
    zone = zone_of(one.store_id)
    as_of = dt.datetime.fromtimestamp(one.as_of_ms / 1000, zone)
    horizon = (one.target_day - as_of.date()).days
    day = daily.get((one.store_id, one.product_id, one.target_day))
    sold = None
    if horizon == 0:
        so_far = [
            line.quantity
            for receipt in receipts
            if receipt.store_id == one.store_id and receipt.event_time <= one.as_of_ms
            if dt.datetime.fromtimestamp(receipt.event_time / 1000, zone).date() == one.target_day
            for line in receipt.lines
            if line.product_id == one.product_id and line.quantity > 0
        ]
        sold = sum(so_far) if so_far else None
    actual = None if day is None else day["demand"] if horizon else max(day["demand"] - (sold or 0), 0.0)
    row = {
        "source": one.source,
        "event_id": one.event_id,
        "store_id": one.store_id,
        "product_id": one.product_id,
        "target_day": one.target_day,
        "horizon_days": horizon,
        "model": " ".join(one.model),
        "mean": one.mean,
        "quantiles": one.quantiles,
        **{name: None if day is None else day[name] for name in ("units", "demand", "in_stock")},
        "complete": day is not None and day["complete"],
        "sold_by_as_of": sold,
        "actual": actual,
        "error": None,
        "absolute_error": None,
        "pinball": None,
    }
    if row["complete"] and actual is not None:
        error = one.mean - actual
        losses = {level: pinball(np.array([actual]), np.array([value]), float(level)) for level, value in one.quantiles.items()}
        row |= {"error": error, "absolute_error": abs(error), "pinball": losses}
    return row
