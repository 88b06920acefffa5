"""What the API takes and gives. Quantities are integers or floats in the product's base unit (pieces, or grams where weighed)."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from serving.forecast import MAX_HORIZON_DAYS, Fallback

MAX_PRODUCTS = 200
Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
ProductIds = Annotated[
    list[Identifier],
    Field(min_length=1, max_length=MAX_PRODUCTS, description="products to answer for, each once", examples=[["p-001", "p-002"]]),
]
StoreId = Annotated[Identifier, Field(examples=["s-01"])]
Units = Annotated[int, Field(ge=-1_000_000_000, le=1_000_000_000)]
FALLBACKS = (
    "null: the champion answered. Else the naive answer, because: `no_model` there is no champion yet; `no_features` nothing was "
    "sold yet in this store, or its features are gone; `stale_features` the stream or the nightly run is further behind than "
    "RD360_FRESHNESS_LIMIT_SECONDS; `later_features` the features know more than the as_of that was asked; `foreign_features` "
    "they were written under another feature catalogue; `model_failed` the model gave no number."
)


class Strict(BaseModel):
    """A request: a field that does not exist is an error, since it would be ignored in silence."""

    model_config = ConfigDict(extra="forbid")


class ForecastRequest(Strict):
    """Which products of a store, and how many days."""

    store_id: StoreId
    product_ids: ProductIds
    horizon_days: Annotated[
        int, Field(ge=1, le=MAX_HORIZON_DAYS, description="store-local days, the rest of the running one being the first")
    ] = 7
    as_of: Annotated[
        AwareDatetime | None,
        Field(
            description="as of when, with a UTC offset; default now. For replayed data, whose time is not the clock's",
            examples=[None],
        ),
    ] = None


class Day(BaseModel):
    """The demand of one store-local day, in units. Of the running day: what is still to come after `as_of`."""

    target_day: dt.date
    mean: float = Field(description="expected units", examples=[12.4])
    quantiles: dict[str, float] = Field(
        description="units that demand stays below with this probability",
        examples=[{"0.05": 6.1, "0.1": 7.4, "0.25": 9.6, "0.5": 12.1, "0.75": 14.9, "0.9": 17.8, "0.95": 19.7, "0.975": 21.5}],
    )


class Basis(BaseModel):
    """What an answer rests on."""

    as_of: dt.datetime = Field(description="the instant that the answer is for, UTC")
    features_as_of: dt.datetime | None = Field(description="event time of the product's last change in the online store, UTC")
    feature_age_seconds: float | None = Field(
        description="how far the store's stream is behind `as_of`, in seconds", examples=[3.2]
    )
    model_name: str = Field(examples=["demand"])
    model_version: str = Field(examples=["12"])
    fallback: Fallback | None = Field(description=FALLBACKS, examples=[None])


class ProductForecast(Basis):
    """The forecast of one product."""

    product_id: str = Field(examples=["p-001"])
    unit: Literal["units"] = Field("units", description="pieces, or grams where the product is weighed")
    units_sold_today: int | None = Field(
        description="since the store's midnight; add the first day's mean for the whole day", examples=[9]
    )
    days: list[Day] = Field(description="empty when nothing at all is known of the product")


class ForecastResponse(BaseModel):
    """The forecasts, in the order of the products asked."""

    store_id: str = Field(examples=["s-01"])
    time_zone: str = Field(description="whose days these are", examples=["Europe/London"])
    forecasts: list[ProductForecast]


class ProductOverride(Strict):
    """What the caller knows better about one product."""

    on_hand: Annotated[Units | None, Field(description="units in the store; default: the online stock")] = None
    on_order: Annotated[int, Field(ge=0, le=1_000_000_000, description="units ordered and not yet there")] = 0
    pack_size: Annotated[int | None, Field(ge=1, le=1_000_000, description="units per pack; default: the product's")] = None
    minimum_packs: Annotated[int, Field(ge=1, le=1_000_000, description="the least that can be ordered, in packs")] = 1


class ReplenishmentRequest(Strict):
    """Which products of a store to order. What is not given comes from the product's and the store's master data."""

    store_id: StoreId
    product_ids: ProductIds
    service_level: Annotated[
        float,
        Field(ge=0.5, le=0.995, description="critical ratio: underage cost / (underage + overage cost)"),
    ] = 0.95
    lead_time_days: Annotated[int | None, Field(ge=0, le=60, description="days from order to shelf; default: the store's")] = None
    review_period_days: Annotated[int | None, Field(ge=1, le=60, description="days between orders; default: the store's")] = None
    overrides: Annotated[
        dict[Identifier, ProductOverride], Field(description="by product", examples=[{"p-001": {"on_order": 12}}])
    ] = {}
    as_of: Annotated[AwareDatetime | None, Field(description="as in a forecast", examples=[None])] = None


class ProductOrder(Basis):
    """The order proposed for one product, with everything that it follows from."""

    product_id: str = Field(examples=["p-001"])
    order_packs: int | None = Field(description="null when it cannot be decided: see `blocked`", examples=[3])
    order_units: int | None = Field(examples=[36])
    blocked: Literal["stock_unknown", "nothing_known"] | None = Field(
        description="`stock_unknown`: no stock count came yet; `nothing_known`: no sale either", examples=[None]
    )
    on_hand: int | None = Field(description="units in the store by the latest count and the movements since", examples=[11])
    stock_as_of: dt.datetime | None = Field(description="event time of that stock, UTC; null when the caller gave it")
    on_order: int = Field(examples=[0])
    target_level: float | None = Field(description="units that position and order together should reach", examples=[45.6])
    expected_demand: float | None = Field(description="mean units over the protection days", examples=[31.2])
    protection_days: int = Field(
        description="store-local days to last, the running one included: lead time + review", examples=[3]
    )
    lead_time_days: int = Field(examples=[2])
    review_period_days: int = Field(examples=[1])
    service_level: float = Field(examples=[0.95])
    pack_size: int = Field(examples=[12])
    minimum_packs: int = Field(examples=[1])
    capped_by: Literal["shelf_life", "minimum_order"] | None = Field(examples=[None])
    explanation: str = Field(
        examples=[
            "Stock and order must last 3 days: 45.6 units at 95 % service; 11 on hand, 0 on order; short by 34.6, 3 packs of 12."
        ]
    )


class ReplenishmentResponse(BaseModel):
    """The orders, in the order of the products asked."""

    store_id: str = Field(examples=["s-01"])
    time_zone: str = Field(examples=["Europe/London"])
    orders: list[ProductOrder]


class Check(BaseModel):
    """One thing that the API needs."""

    name: Literal["online_store", "model", "forecast_log", "stream"]
    essential: bool = Field(description="whether it cannot answer without")
    trouble: str | None = Field(description="null when all is well")


class Readiness(BaseModel):
    """`unavailable` (503) when something essential is missing, `degraded` (200) when answers are less than they could be."""

    status: Literal["ready", "degraded", "unavailable"]
    model_name: str | None
    model_version: str | None
    checks: list[Check]
