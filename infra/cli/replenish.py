"""`rd360 replenish`: orders from the API, with the sentence that explains each."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from contracts.errors import UsageError
from contracts.settings import Settings, load_settings
from infra.cli.console import json_result, note, table

app = typer.Typer()


@app.command()
def replenish(
    store: Annotated[str, typer.Option(help="The store's id.")],
    product: Annotated[
        list[str] | None, typer.Option(help="A product's id; repeatable. All that the store sold, without it.")
    ] = None,
    service_level: Annotated[float, typer.Option(help="Probability of not running out before the next order arrives.")] = 0.95,
    lead_time_days: Annotated[int | None, typer.Option(help="Days from order to shelf; default: the store's.")] = None,
    review_period_days: Annotated[int | None, typer.Option(help="Days between orders; default: the store's.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Propose orders for products of a store."""
    from infra.api_client import Api, batches  # imported here: it loads an HTTP client, which --help does not need

    settings = load_settings()
    products = product or _products_of(settings, store)
    terms = {"service_level": service_level, "lead_time_days": lead_time_days, "review_period_days": review_period_days}
    api = Api(settings)
    orders = [
        order
        for batch in batches(products)
        for order in api.post("/v1/replenishment", {"store_id": store, "product_ids": batch, **terms})["orders"]
    ]
    if as_json:
        json_result(orders)
        return
    table(("product", "packs", "units", "why"), [_cells(order) for order in orders])
    note(f"{sum(1 for order in orders if order['order_packs'])} of {len(orders)} products to order")


def _products_of(settings: Settings, store: str) -> list[str]:
    """The products with features in a store. Raises UsageError when there are none."""
    from contracts.features import SALES_ROLLING
    from featurestore.online import open_online_store

    online = open_online_store(settings)
    try:
        products = sorted(key[1] for key in online.scan(SALES_ROLLING.name) if key[0] == store)
    finally:
        online.close()
    if not products:
        raise UsageError(
            f"Store {store!r} has sold nothing yet", doing="looking for its products", hint="Name products: --product."
        )
    return products


def _cells(order: dict[str, Any]) -> tuple[str, str, str, str]:
    packs, units = ("" if order[name] is None else str(order[name]) for name in ("order_packs", "order_units"))
    return order["product_id"], packs, units, order["explanation"]
