"""The demo's claims: all figures right means no complaint; each figure wrong is named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from infra.demo.verdict import broken_claims

GOOD: dict[str, Any] = {
    "produced": {
        "lines": {"sales": 110, "inventory": 20, "prices": 5},
        "messages": {"sales": 50, "inventory": 20, "prices": 5},
        "malformed": 3,
    },
    "lake": {
        "bronze": {"sales": 50, "inventory": 20, "prices": 5},
        "silver": {"sales": 100, "inventory": 20, "prices": 5},
        "quarantined": {"sales": 3},
        "duplicates": {"sales": 7},
        "gold_rows": 9,
        "served_forecasts": 2,
    },
    "dead_letters": {"sales": 3},
    "parity": {"features_compared": 40, "feature_mismatches": 0, "missing": 0, "extra": 0},
    "models": {"champion": {"candidate": "xgboost"}, "wape": {"xgboost": 0.3, "prophet": 0.4, "seasonal_naive": 0.5}},
    "reaction": {"before_units": 10.0, "after_units": 11.0, "fallback": None},
    "order": {"order_units": 24, "pack_size": 12},
    "airflow": {"run_id": "r", "state": "success"},
    "superset": {"charts": {"units": 3}},
    "services": {"kafka": {"state": "ready"}},
}


def test_a_run_in_which_everything_holds_has_no_broken_claim() -> None:
    assert broken_claims(GOOD) == []


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda f: f["lake"]["silver"].update(sales=99), "sales: 110 lines in"),
        (lambda f: f["lake"]["bronze"].update(prices=4), "prices: 5 messages"),
        (lambda f: f["lake"].update(gold_rows=0), "gold"),
        (lambda f: f["lake"].update(served_forecasts=0), "served forecast"),
        (lambda f: f["dead_letters"].update(sales=2), "dead letters"),
        (lambda f: f["parity"].update(feature_mismatches=1), "1 mismatches"),
        (lambda f: f["parity"].update(missing=2), "2 missing"),
        (lambda f: f["parity"].update(features_compared=0), "compared nothing"),
        (lambda f: f["models"].update(champion=None), "no champion"),
        (lambda f: f["models"]["wape"].pop("prophet"), "prophet"),
        (lambda f: f["models"]["wape"].update(xgboost=0.6), "does not beat"),
        (lambda f: f["reaction"].update(after_units=10.0), "did not rise"),
        (lambda f: f["reaction"].update(fallback="no_model"), "fallback"),
        (lambda f: f["order"].update(order_units=25), "whole packs"),
        (lambda f: f["order"].update(order_units=None, blocked="stock_unknown"), "stock_unknown"),
        (lambda f: f["airflow"].update(state="failed"), "Airflow"),
        (lambda f: f["superset"]["charts"].update(units=0), "units"),
        (lambda f: f["superset"].update(charts={}), "no charts"),
        (lambda f: f["services"]["kafka"].update(state="died"), "kafka is died"),
    ],
)
def test_each_figure_that_is_wrong_is_named(spoil: Callable[[dict[str, Any]], Any], named: str) -> None:
    figures = copy.deepcopy(GOOD)
    spoil(figures)

    assert any(named in claim for claim in broken_claims(figures))
