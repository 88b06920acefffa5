"""From rows to forecasts: which products the model may answer, and the documented fallback for the others. No input or output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.features import AS_OF
from contracts.request_features import age_seconds, planned_price
from contracts.vector import Question, model_input
from contracts.windows import Calendar
from serving import naive
from serving.features import ProductRows, Row, at_instant, is_foreign
from serving.model import Champion, Prediction
from training.scorer import Asked as SeriesDay

MAX_HORIZON_DAYS = 14
Fallback = Literal["no_model", "no_features", "stale_features", "foreign_features", "later_features", "model_failed"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of every product of a store, as of an instant (ms).

    `stream_clock` is the newest event time (ms) known to be in the store's rolling features, 0 where none is. Features may be
    `limit_seconds` old, and `lead_ms` ahead of the instant: events may be that far ahead of the broker's clock, too.
    """

    store_id: str
    as_of: int
    calendar: Calendar
    horizon_days: int
    stream_clock: int
    limit_seconds: float
    lead_ms: int

    @property
    def days(self) -> range:
        """The target days, local day numbers: today and the days after it."""
        today = self.calendar.day(self.as_of)
        return range(today, today + self.horizon_days)


@dataclass(frozen=True, slots=True)
class DayForecast:
    """One target day: mean and quantiles in units. Of today, what is sold after the as-of time."""

    day: int
    mean: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast of one product. `days` is empty when nothing at all is known. Age in seconds, None without features."""

    product_id: str
    as_of: int
    features_as_of: int | None
    feature_age_seconds: float | None
    model_name: str
    model_version: str
    fallback: Fallback | None
    units_sold_today: int | None
    levels: tuple[float, ...]
    days: tuple[DayForecast, ...]


def forecast_products(products: Sequence[ProductRows], champion: Champion | None, asked: Asked) -> list[Forecast]:
    """One forecast per product, in their order. Everything that the model may answer is scored in one call."""
    reasons = [why_not(rows, champion, asked) for rows in products]
    answerable = [rows for rows, why in zip(products, reasons, strict=True) if not why]
    vectors = [vector for rows in answerable for vector in _vectors(rows, asked)]
    whose = [SeriesDay(asked.store_id, rows.product_id, day) for rows in answerable for day in asked.days]
    scored = iter(champion.scorer.score(vectors, whose) if champion and vectors else ())
    answers = []
    for rows, why in zip(products, reasons, strict=True):
        predictions = [] if why or champion is None else [next(scored) for _ in asked.days]
        if predictions and not all(_is_sound(p) for p in predictions):
            why, predictions = "model_failed", []
        answers.append(_by_model(rows, champion, predictions, asked) if champion and predictions else _by_habit(rows, why, asked))
    return answers


def why_not(rows: ProductRows, champion: Champion | None, asked: Asked) -> Fallback | None:
    """Why the model may not answer for a product; None when it may. The first that holds, gravest first."""
    rolling, daily = rows.rolling, rows.daily
    if rolling is None:  # without daily levels the model can answer (a new product), with nothing but levels it never learned to
        return "no_features"
    if any(is_foreign(row) for row in (rolling, daily, rows.own_prices, rows.chain_prices)):
        return "foreign_features"
    if any(row is not None and row[AS_OF] > asked.as_of + asked.lead_ms for row in (rolling, daily)):
        return "later_features"
    if _is_stale(rolling, daily, asked):
        return "stale_features"
    return "no_model" if champion is None else None


def _is_stale(rolling: Row, daily: Row | None, asked: Asked) -> bool:
    # Only the store's clock tells a product that did not sell from a stream that stopped
    clocks = [max(rolling[AS_OF], asked.stream_clock), *([] if daily is None else [daily[AS_OF]])]
    return any(age_seconds(clock, asked.as_of) > asked.limit_seconds for clock in clocks)


def _vectors(rows: ProductRows, asked: Asked) -> list[list[float]]:
    rolling = _rolling(rows, asked)
    return [
        model_input(
            Question(asked.as_of, day),
            asked.calendar,
            rolling,
            rows.daily or {},
            planned_price(day, rows.own_prices, rows.chain_prices),
        )
        for day in asked.days
    ]


def _by_model(rows: ProductRows, champion: Champion, predictions: Sequence[Prediction], asked: Asked) -> Forecast:
    days = [
        DayForecast(day, max(p.mean, 0.0), tuple(sorted(max(value, 0.0) for value in p.quantiles)))
        for day, p in zip(asked.days, predictions, strict=True)
    ]
    return _answer(rows, asked, champion.name, champion.version, None, champion.scorer.levels, days)


def _by_habit(rows: ProductRows, why: Fallback | None, asked: Asked) -> Forecast:
    # Rows of another catalogue may mean another thing by the same name
    usable = why != "foreign_features"
    rolling, daily = (_rolling(rows, asked), rows.daily or {}) if usable else ({}, {})
    means = naive.naive_days(asked.as_of, asked.days, asked.calendar, rolling, daily)
    days = [DayForecast(day, mean, quantiles) for day, (mean, quantiles) in zip(asked.days, means, strict=False)]
    return _answer(rows, asked, naive.NAME, naive.VERSION, why, naive.LEVELS, days)


def _answer(
    rows: ProductRows,
    asked: Asked,
    name: str,
    version: str,
    fallback: Fallback | None,
    levels: Sequence[float],
    days: Sequence[DayForecast],
) -> Forecast:
    clock = None if rows.rolling is None else max(rows.rolling[AS_OF], asked.stream_clock)
    return Forecast(
        product_id=rows.product_id,
        as_of=asked.as_of,
        features_as_of=None if rows.rolling is None else rows.rolling[AS_OF],
        feature_age_seconds=None if clock is None else age_seconds(clock, asked.as_of),
        model_name=name,
        model_version=version,
        fallback=fallback,
        units_sold_today=None if fallback == "foreign_features" else _rolling(rows, asked).get("units_today"),
        levels=tuple(levels),
        days=tuple(days),
    )


def _rolling(rows: ProductRows, asked: Asked) -> Row:
    return {} if rows.rolling is None else at_instant(rows.rolling, asked.calendar, asked.as_of)


def _is_sound(prediction: Prediction) -> bool:
    return math.isfinite(prediction.mean) and all(math.isfinite(value) for value in prediction.quantiles)
