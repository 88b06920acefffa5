"""From a forecast and a stock position to an order that explains itself. No input or output."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contracts.errors import FingerprintMismatch
from contracts.features import AS_OF, PRODUCT, STORE, features_of
from serving.features import ProductRows, Row, is_foreign
from serving.forecast import MAX_HORIZON_DAYS, Forecast
from serving.schemas import ProductOverride, ReplenishmentRequest
from training.replenish.policies import WEEK, Order, order_up_to
from training.replenish.terms import DayDemand, Position, Terms

Blocked = Literal["stock_unknown", "nothing_known"]
_DEFAULTS = {feature.name: feature.default for view in (PRODUCT, STORE) for feature in features_of(view.name)}


@dataclass(frozen=True, slots=True)
class Proposal:
    """The order of one product, or what keeps it from being decided. `stock_as_of` is None where the caller gave the stock."""

    forecast: Forecast
    terms: Terms
    on_hand: int | None
    on_order: int
    stock_as_of: int | None
    order: Order | None
    blocked: Blocked | None
    explanation: str


def terms_of(rows: ProductRows, store: Row | None, asked: ReplenishmentRequest) -> Terms:
    """The terms of a product: what the caller gave, else master data, else the catalogue's defaults.

    Raises UsageError, and FingerprintMismatch for master data of another catalogue.
    """
    own = asked.overrides.get(rows.product_id, ProductOverride())
    lead, review = asked.lead_time_days, asked.review_period_days
    return Terms(
        lead_time_days=_known(store, "lead_time_days") if lead is None else lead,
        review_period_days=_known(store, "review_period_days") if review is None else review,
        pack_size=own.pack_size or _known(rows.product, "pack_size"),
        minimum_packs=own.minimum_packs,
        service_level=asked.service_level,
        shelf_life_days=_row_value(rows.product, "shelf_life_days"),
    )


def horizon_days(terms: Sequence[Terms]) -> int:
    """How many days to forecast so that no term needs more, within the model's horizon; at least a week that can be repeated."""
    longest = max(max(t.protection_days, t.lead_time_days + (t.shelf_life_days or 0)) for t in terms)
    return min(max(longest, WEEK + 1), MAX_HORIZON_DAYS)


def propose(rows: ProductRows, forecast: Forecast, terms: Terms, override: ProductOverride) -> Proposal:
    """The order of one product. Raises FingerprintMismatch for a stock of another catalogue."""
    given = override.on_hand is not None
    on_hand = override.on_hand if given else _row_value(rows.stock, "on_hand")
    stock_as_of = None if given or rows.stock is None else rows.stock[AS_OF]
    undecided = functools.partial(Proposal, forecast, terms, on_hand, override.on_order, stock_as_of, None)
    if not forecast.days:
        return undecided("nothing_known", _BLOCKED["nothing_known"])
    if on_hand is None:
        return undecided("stock_unknown", _BLOCKED["stock_unknown"])
    days = [DayDemand.of(day.mean, forecast.levels, day.quantiles) for day in forecast.days]
    order = order_up_to(days, terms, Position(on_hand, override.on_order))
    text = explain(order, terms, on_hand, override.on_order)
    return Proposal(forecast, terms, on_hand, override.on_order, stock_as_of, order, None, text)


def explain(order: Order, terms: Terms, on_hand: int, on_order: int) -> str:
    """One sentence that lets a store manager check the order by hand."""
    short = order.target_level - order.position
    need = (
        f"Stock and order must last {order.protection_days} days (lead time {terms.lead_time_days}, next order in "
        f"{terms.review_period_days}): {order.demand_mean:.1f} units expected, "
        f"{order.target_level:.1f} at {terms.service_level:.1%} service"
    )
    cap = {"shelf_life": " capped by what sells before it spoils", "minimum_order": "", None: ""}[order.capped_by]
    least = f", raised to the minimum of {terms.minimum_packs}" if order.capped_by == "minimum_order" else ""
    packs = "1 pack" if order.packs == 1 else f"{order.packs} packs"
    have = f"{on_hand} on hand, {on_order} on order"
    if order.packs == 0:
        return f"{need}{cap}; {have}: enough."
    return f"{need}{cap}; {have}: short by {short:.1f}, {packs} of {terms.pack_size}{least}."


_BLOCKED: dict[Blocked, str] = {
    "stock_unknown": "No stock count of this product has come yet: an order cannot be decided without on_hand in overrides.",
    "nothing_known": "Nothing is known of this product in this store: there is no demand to order for.",
}


def _row_value(row: Row | None, name: str) -> int | None:
    if is_foreign(row):  # its values are not known: an order by defaults would look like one by what is known
        raise FingerprintMismatch(
            "Stock or master data online is of another feature catalogue",
            doing=f"reading {name}",
            hint="`./rd360 features materialize` writes master data again; the stream worker writes its own rows when it starts.",
        )
    value = None if row is None else row.get(name)
    return None if value is None else int(value)


def _known(row: Row | None, name: str) -> int:
    value = _row_value(row, name)
    default = _DEFAULTS[name]
    return value if value is not None else int(default or 0)
