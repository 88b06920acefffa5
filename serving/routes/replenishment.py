"""POST /v1/replenishment."""

from __future__ import annotations

from fastapi import APIRouter

from serving.dependencies import Line, TheBackend
from serving.errors import PROBLEMS
from serving.replenish import Proposal, horizon_days, propose, terms_of
from serving.routes.forecasts import summary
from serving.schemas import ProductOrder, ProductOverride, ReplenishmentRequest, ReplenishmentResponse
from serving.times import ms, utc

router = APIRouter()


@router.post("/v1/replenishment", responses=PROBLEMS, tags=["replenishment"])
async def replenishment(asked: ReplenishmentRequest, backend: TheBackend, line: Line) -> ReplenishmentResponse:
    """Orders for products of one store: up to the level that lasts until the next order arrives, at the service level asked.

    Each order says all that it follows from. Sales after the latest stock count are not subtracted from it.
    """
    products = list(dict.fromkeys(asked.product_ids))
    rows = await backend.rows(asked.store_id, products)
    terms = [terms_of(row, rows.store, asked) for row in rows.products]
    forecasts = await backend.forecasts(asked.store_id, rows.products, horizon_days(terms), ms(asked.as_of))
    overrides = [asked.overrides.get(product, ProductOverride()) for product in products]
    proposals = await backend.off_loop(
        lambda: [propose(*parts) for parts in zip(rows.products, forecasts, terms, overrides, strict=True)],
        seconds=30.0,  # pure arithmetic: a bound against the unforeseen
        doing="deciding the orders",
    )
    line.update(store_id=asked.store_id, orders=sum(1 for p in proposals if p.order and p.order.packs), **summary(forecasts))
    return ReplenishmentResponse(
        store_id=asked.store_id,
        time_zone=backend.time_zone(asked.store_id),
        orders=[_order(proposal) for proposal in proposals],
    )


def _order(proposal: Proposal) -> ProductOrder:
    forecast, terms, order = proposal.forecast, proposal.terms, proposal.order
    return ProductOrder(
        as_of=utc(forecast.as_of),
        features_as_of=utc(forecast.features_as_of),
        feature_age_seconds=forecast.feature_age_seconds,
        model_name=forecast.model_name,
        model_version=forecast.model_version,
        fallback=forecast.fallback,
        product_id=forecast.product_id,
        order_packs=order.packs if order else None,
        order_units=order.units if order else None,
        blocked=proposal.blocked,
        on_hand=proposal.on_hand,
        stock_as_of=utc(proposal.stock_as_of),
        on_order=proposal.on_order,
        target_level=order.target_level if order else None,
        expected_demand=order.demand_mean if order else None,
        protection_days=terms.protection_days,
        lead_time_days=terms.lead_time_days,
        review_period_days=terms.review_period_days,
        service_level=terms.service_level,
        pack_size=terms.pack_size,
        minimum_packs=terms.minimum_packs,
        capped_by=order.capped_by if order else None,
        explanation=proposal.explanation,
    )
