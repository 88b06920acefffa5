"""The model's input: one row per store × product × as-of time × target day, as numbers in a fixed order.

Training builds it from the point-in-time frame, serving from the online rows; both call `model_input`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.features import CATALOGUE_FINGERPRINT, SALES_ROLLING, features_of
from contracts.request_features import (
    PlannedPrice,
    day_of_year_phase,
    discount,
    hours_since,
    share_of_day_left,
    weekday,
)
from contracts.windows import Calendar

NAN = float("nan")
_NOT_INPUTS = ("last_sale_ms",)  # an absolute time would not generalise: hours_since_last_sale stands for it
_RATIOS = ("promotion_share_28d", "mean_price_28d")  # over shorter windows they rest on a handful of receipts
_ROLLING = tuple(
    f for f in features_of(SALES_ROLLING.name) if f.name not in _NOT_INPUTS and (f.aggregate != "ratio" or f.name in _RATIOS)
)
_DAILY = (
    "demand_lag_1d",
    "demand_lag_7d",
    "demand_lag_14d",
    "demand_mean_7d",
    "demand_mean_28d",
    "demand_mean_364d",
    "selling_share_28d",
    "in_stock_share_28d",
    "days_on_sale",
)
MODEL_INPUTS: tuple[str, ...] = (
    "days_ahead",
    "share_of_day_left",
    "target_weekday",
    "target_year_phase",
    "planned_price",
    "planned_discount",
    "planned_promotion",
    "price_ratio_28d",
    "hours_since_last_sale",
    "weekday_mean_4w",
    *(f.name for f in _ROLLING),
    *_DAILY,
)
VECTOR_FINGERPRINT = hashlib.sha256(f"{CATALOGUE_FINGERPRINT}|{','.join(MODEL_INPUTS)}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a store × product: as of when (ms), and for which store-local day."""

    as_of: int
    target_day: int


def model_input(
    question: Question,
    calendar: Calendar,
    rolling: Mapping[str, Any],
    daily: Mapping[str, Any],
    price: PlannedPrice | None,
) -> list[float]:
    """The numbers of MODEL_INPUTS for one question; NaN where nothing is known. Empty mappings stand for missing rows."""
    today = calendar.day(question.as_of)
    target_weekday = weekday(question.target_day)
    weekday_means = daily.get("weekday_mean_4w")
    mean_price = rolling.get("mean_price_28d")
    planned = NAN if price is None else float(price.price)
    return [
        float(question.target_day - today),
        share_of_day_left(calendar, question.as_of) if question.target_day == today else 1.0,
        float(target_weekday),
        day_of_year_phase(question.target_day),
        planned,
        number(discount(price)),
        NAN if price is None else float(price.promoted),
        planned / mean_price if mean_price else NAN,
        number(hours_since(rolling.get("last_sale_ms"), question.as_of)),
        number(weekday_means[target_weekday]) if weekday_means else NAN,
        *[number(rolling.get(f.name), f.default) for f in _ROLLING],
        *[number(daily.get(name)) for name in _DAILY],
    ]


def number(value: Any, default: Any = None) -> float:
    """A value as a float, its default where it is missing, NaN where that is missing too."""
    if value is None:
        value = default
    return NAN if value is None else float(value)
