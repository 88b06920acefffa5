"""The demo surprises the model with a usual day's sales of the product that has been quietest by its own measure."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import DataGateError
from infra.demo.reaction import BURST_UNITS, Burst, plan_burst


def row(product: str, units_28d: int, units_24h: int) -> dict[str, Any]:
    return {"store_id": "s", "product_id": product, "units_28d": units_28d, "units_24h": units_24h, "last_price": 250}


def test_the_quietest_of_the_steady_products_is_chosen_and_sells_a_usual_day() -> None:
    rows = [row("bought-out", 2800, 400), row("quiet", 1400, 10), row("usual", 1400, 50), row("slow", 28, 0)]

    assert plan_burst(rows) == Burst("s", "quiet", receipts=17, price=250)
    assert 17 * BURST_UNITS >= 1400 / 28 > 16 * BURST_UNITS


def test_a_chain_that_sells_next_to_nothing_is_an_error_that_says_so() -> None:
    with pytest.raises(DataGateError, match="No product sells 5 units a day"):
        plan_burst([row("slow", 28, 0)])
