"""Who answers for a product, the model or the naive answer, and what each says."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.features import FINGERPRINT
from contracts.vector import MODEL_INPUTS
from contracts.windows import calendar
from serving.features import ProductRows, at_instant
from serving.forecast import Asked, forecast_products
from serving.naive import LEVELS as NAIVE_LEVELS
from serving.naive import naive_days, poisson_quantile
from tests.serving_fakes import DAY, HOUR, MINUTE, NOW, PRODUCT, STORE, BrokenScorer, LevelScorer, champion, levels, row, selling

LONDON = calendar("Europe/London")
TODAY = LONDON.day(NOW)


def asked(**changes: Any) -> Asked:
    usual = {
        "store_id": STORE,
        "as_of": NOW,
        "calendar": LONDON,
        "horizon_days": 3,
        "stream_clock": 0,
        "limit_seconds": 48 * 3600,
        "lead_ms": HOUR,
    }
    return Asked(**{**usual, **changes})


def product(rolling: Any = None, daily: Any = None, product_id: str = PRODUCT, **rows: Any) -> ProductRows:
    none = {"stock": None, "own_prices": None, "chain_prices": None, "product": None}
    return ProductRows(product_id=product_id, rolling=rolling, daily=daily, **{**none, **rows})


def test_the_model_answers_for_the_rest_of_today_and_for_whole_days() -> None:
    [answer] = forecast_products([product(selling(), levels())], champion("7"), asked())
    assert (answer.fallback, answer.model_name, answer.model_version) == (None, "demand", "7")
    assert [day.day for day in answer.days] == [TODAY, TODAY + 1, TODAY + 2]
    assert [day.mean for day in answer.days] == pytest.approx([10 * 10 / 24 + 1, 11, 11])  # 14:00: 10 of 24 hours are left
    assert answer.units_sold_today == 4
    assert answer.feature_age_seconds == 60


def test_each_product_gets_its_own_answer_whatever_its_neighbours_lack() -> None:
    products = [
        product(selling("a", units_28d=28), levels("a"), "a"),
        product(None, None, "unknown"),
        product(selling("b", units_28d=56), levels("b"), "b"),
    ]
    answers = forecast_products(products, champion(), asked())
    assert [(a.product_id, a.fallback) for a in answers] == [("a", None), ("unknown", "no_features"), ("b", None)]
    assert [a.days[1].mean for a in (answers[0], answers[2])] == [2, 3]


@pytest.mark.parametrize(
    ("reason", "rows", "changes"),
    [
        ("no_features", product(None, levels()), {}),
        ("stale_features", product(selling(as_of=NOW - 3 * DAY), levels()), {}),
        ("stale_features", product(selling(), levels(as_of=NOW - 3 * DAY)), {}),
        ("later_features", product(selling(as_of=NOW + 2 * HOUR), levels()), {}),
        ("foreign_features", product(selling(**{FINGERPRINT: "another"}), levels()), {}),
        ("foreign_features", product(selling(), levels(**{FINGERPRINT: "another"})), {}),
    ],
)
def test_a_fallback_says_its_reason(reason: str, rows: ProductRows, changes: dict[str, Any]) -> None:
    [answer] = forecast_products([rows], champion(), asked(**changes))
    assert (answer.fallback, answer.model_name) == (reason, "naive")


def test_without_a_champion_the_usual_demand_of_the_weekday_is_the_answer() -> None:
    [answer] = forecast_products([product(selling(), levels())], None, asked())
    assert answer.fallback == "no_model"
    assert [day.mean for day in answer.days] == pytest.approx([10 * 10 / 24, 11, 12])  # Thursday, Friday, Saturday
    assert all(list(day.quantiles) == sorted(day.quantiles) for day in answer.days)


def test_a_model_that_gives_no_number_is_not_passed_on() -> None:
    [answer] = forecast_products([product(selling(), levels())], champion(scorer=BrokenScorer()), asked())
    assert answer.fallback == "model_failed"
    assert all(math.isfinite(day.mean) for day in answer.days)


def test_rows_of_another_catalogue_are_not_read_at_all() -> None:
    [answer] = forecast_products([product(selling(**{FINGERPRINT: "another"}), levels())], champion(), asked())
    assert (answer.days, answer.units_sold_today) == ((), None)


def test_a_product_that_did_not_sell_for_days_is_not_stale_while_its_store_sells() -> None:
    quiet = product(selling(as_of=NOW - 5 * DAY), levels())
    [answer] = forecast_products([quiet], champion(), asked(stream_clock=NOW - MINUTE))
    assert (answer.fallback, answer.feature_age_seconds) == (None, 60)
    assert answer.features_as_of == NOW - 5 * DAY


def test_negative_and_crossing_answers_of_a_model_are_put_right() -> None:
    class Crossing(LevelScorer):
        def score(self, rows: Any, asked: Any) -> list[Any]:
            answers = super().score(rows, asked)
            return [type(a)(-1.0, (3.0, -2.0, 1.0, *a.quantiles[3:])) for a in answers]

    [answer] = forecast_products([product(selling(), levels())], champion(scorer=Crossing()), asked())
    for day in answer.days:
        assert day.mean == 0
        assert list(day.quantiles) == sorted(day.quantiles)
        assert min(day.quantiles) >= 0


def test_the_price_planned_for_the_target_day_reaches_the_model() -> None:
    seen: list[list[float]] = []

    class Recorder(LevelScorer):
        def score(self, rows: Any, asked: Any) -> list[Any]:
            seen.extend(rows)
            return super().score(rows, asked)

    def plan(store: str, price: int, first: int) -> dict[str, Any]:
        arrays = {"plan_from": [first], "plan_to": [first], "plan_price": [price], "plan_list_price": [200], "plan_promoted": [1]}
        return row("price_plan", (store, PRODUCT), **arrays)

    rows = product(selling(), levels(), own_prices=plan(STORE, 150, TODAY + 1), chain_prices=plan("*", 180, TODAY))
    forecast_products([rows], champion(scorer=Recorder()), asked())
    prices = [vector[MODEL_INPUTS.index("planned_price")] for vector in seen]
    assert prices[:2] == [180, 150]
    assert math.isnan(prices[2])


def test_before_the_first_sale_of_a_day_nothing_was_sold_today() -> None:
    evening = NOW - 15 * HOUR  # 23:00 of the day before
    aged = at_instant(selling(as_of=evening, units_today=30, units_1h=5), LONDON, NOW)
    assert (aged["units_today"], aged["units_1h"]) == (0, 0)  # both windows start after the row's own time
    assert (aged["units_24h"], aged["units_28d"]) == (9, 280)  # these still cover it


def test_a_row_that_is_up_to_date_is_taken_as_it_is() -> None:
    fresh = selling(as_of=NOW)
    assert at_instant(fresh, LONDON, NOW) == fresh


def test_the_model_is_told_whose_demand_each_row_is() -> None:
    seen: list[Any] = []

    class Recorder(LevelScorer):
        def score(self, rows: Any, asked: Any) -> list[Any]:
            seen.extend(asked)
            return super().score(rows, asked)

    rows = [product(selling("a"), levels("a"), "a"), product(None, None, "gone"), product(selling("b"), levels("b"), "b")]
    forecast_products(rows, champion(scorer=Recorder()), asked(horizon_days=2))
    assert seen == [(STORE, name, TODAY + ahead) for name in ("a", "b") for ahead in (0, 1)]


def test_a_new_product_without_daily_levels_is_the_models_to_answer() -> None:
    [answer] = forecast_products([product(selling())], champion(), asked())
    assert answer.fallback is None


@pytest.mark.parametrize("mean", [0.0, 0.2, 3.0, 80.0, 499.0])
def test_poisson_quantiles_are_the_smallest_counts_that_reach_the_level(mean: float) -> None:
    for level in NAIVE_LEVELS:
        count = int(poisson_quantile(mean, level))
        terms = [math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) if mean else float(k == 0) for k in range(count + 1)]
        assert sum(terms) >= level - 1e-9
        assert count == 0 or sum(terms[:-1]) < level + 1e-9


@given(st.floats(500, 1e6))
def test_large_poisson_quantiles_are_near_the_normal_ones(mean: float) -> None:
    for level in NAIVE_LEVELS:
        assert poisson_quantile(mean, level) == pytest.approx(NormalDist(mean, math.sqrt(mean)).inv_cdf(level), abs=2)


def test_goods_weighed_in_grams_vary_by_their_baskets_not_by_the_gram() -> None:
    rolling = {"units_28d": 280_000, "receipts_28d": 700}
    [(mean, quantiles)] = naive_days(NOW, [TODAY + 1], LONDON, rolling, {})
    assert mean == 10_000  # 25 baskets of 400 g
    assert quantiles[-2] == 400 * poisson_quantile(25, 0.95)


def test_levels_that_are_no_number_are_passed_over() -> None:
    daily = {"weekday_mean_4w": [math.nan] * 7, "demand_mean_28d": None}
    [(mean, _)] = naive_days(NOW, [TODAY + 1], LONDON, {"units_28d": 28, "receipts_28d": 0}, daily)
    assert mean == 1
