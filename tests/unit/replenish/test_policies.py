"""From quantiles to packs: what an order-up-to must do, whatever the product."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import UsageError
from training.replenish.policies import demand_quantile, order_up_to, quantile_function, stretch
from training.replenish.terms import DayDemand, Position, Terms, critical_ratio

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
TERMS = Terms(lead_time_days=2, review_period_days=1)


def poisson_day(mean: float, seed: int = 1) -> DayDemand:
    sample = np.random.default_rng(seed).poisson(mean, 400_000)
    return DayDemand.of(mean, LEVELS, [float(v) for v in np.quantile(sample, LEVELS)])


def sure_day(units: float) -> DayDemand:
    return DayDemand.of(units, LEVELS, [units] * len(LEVELS))


days = st.lists(st.floats(0, 500), min_size=len(LEVELS), max_size=len(LEVELS)).map(
    lambda values: DayDemand.of(float(np.mean(values)), LEVELS, values)
)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.99])
def test_the_quantile_of_a_sum_of_independent_days_is_that_of_simulated_sums(level: float) -> None:
    forecast = [poisson_day(20), poisson_day(30), poisson_day(10)]
    simulated = np.random.default_rng(7).poisson(60, 1_000_000)
    assert demand_quantile(forecast, level, dependence=0) == pytest.approx(np.quantile(simulated, level), abs=1.5)


def test_fully_dependent_days_add_their_quantiles() -> None:
    forecast = [poisson_day(20), poisson_day(30)]
    assert demand_quantile(forecast, 0.95, dependence=1) == pytest.approx(sum(day.quantiles[6] for day in forecast))


def test_many_days_pool_their_risk() -> None:
    week = [poisson_day(20)] * 7
    alone = demand_quantile(week[:1], 0.95) - 20
    assert demand_quantile(week, 0.95) - 7 * 20 < 7 * alone


@given(days)
def test_the_quantile_function_passes_through_the_forecast_and_never_falls(day: DayDemand) -> None:
    assert quantile_function(day, np.array(LEVELS)) == pytest.approx(day.quantiles)
    curve = quantile_function(day, np.linspace(0.001, 0.999, 500))
    assert np.all(np.diff(curve) >= -1e-9)
    assert curve[0] >= 0


@given(st.lists(days, min_size=1, max_size=4), st.floats(0.5, 0.95), st.floats(0.01, 0.04))
def test_more_service_never_means_less_stock(forecast: list[DayDemand], level: float, more: float) -> None:
    assert demand_quantile(forecast, level + more) >= demand_quantile(forecast, level)


@given(st.lists(days, min_size=1, max_size=14), st.integers(0, 2_000), st.integers(1, 48), st.floats(0.5, 0.99))
def test_an_order_reaches_the_target_with_less_than_a_pack_to_spare(
    forecast: list[DayDemand], on_hand: int, pack: int, level: float
) -> None:
    terms = replace(TERMS, pack_size=pack, service_level=level)
    order = order_up_to(forecast, terms, Position(on_hand))
    assert order.units == order.packs * pack
    if order.packs:
        assert order.target_level - 1e-6 * pack <= order.position + order.units < order.target_level + pack
    else:
        assert order.position >= order.target_level - 1e-6 * pack


def test_demand_that_is_certain_is_ordered_exactly() -> None:
    order = order_up_to([sure_day(4), sure_day(10), sure_day(10), sure_day(99)], TERMS, Position(5))
    assert (order.protection_days, order.demand_mean) == (3, 24)  # the rest of today and two days: the next order comes then
    assert order.units == 24 - 5


def test_what_is_on_order_is_not_ordered_again() -> None:
    forecast = [sure_day(10)] * 3
    assert order_up_to(forecast, TERMS, Position(on_hand=5, on_order=25)).units == 0


def test_a_negative_count_is_no_reason_to_order_more_than_the_shelf_needs() -> None:
    assert order_up_to([sure_day(10)] * 3, TERMS, Position(-40)).units == 30


def test_what_sells_is_ordered_in_whole_packs_and_not_below_the_minimum() -> None:
    order = order_up_to([sure_day(1)] * 3, replace(TERMS, pack_size=6, minimum_packs=4), Position(2))
    assert (order.packs, order.units, order.capped_by) == (4, 24, "minimum_order")
    assert order_up_to([sure_day(1)] * 3, replace(TERMS, pack_size=6, minimum_packs=4), Position(3)).packs == 0


def test_what_spoils_is_not_ordered_beyond_what_sells_in_time() -> None:
    fresh = replace(TERMS, shelf_life_days=1, service_level=0.975)
    forecast = [poisson_day(5)] * 3
    order = order_up_to(forecast, fresh, Position(0))
    assert order.capped_by == "shelf_life"
    assert order.units == 15
    assert order_up_to(forecast, replace(fresh, shelf_life_days=30), Position(0)).units > 15


def test_a_product_that_does_not_sell_is_not_ordered() -> None:
    order = order_up_to([sure_day(0)] * 14, TERMS, Position(0))
    assert (order.units, order.target_level) == (0, 0)


def test_a_forecast_that_is_too_short_goes_on_with_its_last_week() -> None:
    forecast = [sure_day(float(at)) for at in range(9)]
    assert [day.mean for day in stretch(forecast, 12)] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 3, 4]
    assert [day.mean for day in stretch(forecast[:2], 4)] == [0, 1, 1, 1]
    assert len(stretch(forecast, 3)) == 3


def test_the_critical_ratio_weighs_a_lost_sale_against_a_unit_too_many() -> None:
    assert critical_ratio(underage=95, overage=5) == 0.95


def test_crossing_or_negative_quantiles_are_put_right_before_use() -> None:
    day = DayDemand.of(-1, (0.1, 0.5, 0.9), (3, -2, 1))
    assert (day.mean, day.quantiles) == (0, (0, 1, 3))


@pytest.mark.parametrize(
    "change",
    [
        {"lead_time_days": -1},
        {"review_period_days": 0},
        {"pack_size": 0},
        {"minimum_packs": 0},
        {"service_level": 1.0},
        {"shelf_life_days": 0},
    ],
)
def test_terms_that_cannot_be_are_refused_by_name(change: dict[str, float]) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        replace(TERMS, **change)


@pytest.mark.parametrize("quantile", [math.nan, math.inf])
def test_a_forecast_that_is_no_number_is_refused(quantile: float) -> None:
    with pytest.raises(UsageError, match="finite"):
        DayDemand.of(1, (0.1, 0.9), (0, quantile))
