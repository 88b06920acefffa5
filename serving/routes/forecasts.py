"""POST /v1/forecasts."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter

from serving.backend import quantile_names
from serving.dependencies import Line, TheBackend
from serving.errors import PROBLEMS
from serving.forecast import Forecast
from serving.schemas import Day, ForecastRequest, ForecastResponse, ProductForecast
from serving.times import date_of, ms, utc

router = APIRouter()


@router.post("/v1/forecasts", responses=PROBLEMS, tags=["forecasts"])
async def forecasts(asked: ForecastRequest, backend: TheBackend, line: Line) -> ForecastResponse:
    """The demand of products of one store, for the rest of today and the days after it, with quantiles.

    A product that the model cannot answer for gets the documented naive answer, and says so in `fallback`.
    """
    products = list(dict.fromkeys(asked.product_ids))
    rows = await backend.rows(asked.store_id, products)
    answers = await backend.forecasts(asked.store_id, rows.products, asked.horizon_days, ms(asked.as_of))
    line.update(store_id=asked.store_id, **summary(answers))
    return ForecastResponse(
        store_id=asked.store_id,
        time_zone=backend.time_zone(asked.store_id),
        forecasts=[_product(answer) for answer in answers],
    )


def summary(answers: list[Forecast]) -> dict[str, object]:
    """What a log line says of the forecasts of one request."""
    versions = sorted({f"{answer.model_name}/{answer.model_version}" for answer in answers})
    return {"products": len(answers), "models": versions, "fallbacks": dict(Counter(a.fallback for a in answers if a.fallback))}


def _product(answer: Forecast) -> ProductForecast:
    return ProductForecast(
        as_of=utc(answer.as_of),
        features_as_of=utc(answer.features_as_of),
        feature_age_seconds=answer.feature_age_seconds,
        model_name=answer.model_name,
        model_version=answer.model_version,
        fallback=answer.fallback,
        product_id=answer.product_id,
        unit="units",
        units_sold_today=answer.units_sold_today,
        days=[
            Day(target_day=date_of(day.day), mean=day.mean, quantiles=quantile_names(answer.levels, day.quantiles))
            for day in answer.days
        ],
    )
