"""The measures on numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training import metrics
from training.rows import LEVELS, Daily

TARGET = np.array([0.0, 2.0, 4.0, 10.0])
MEAN = np.array([1.0, 2.0, 2.0, 13.0])


def test_wape_is_the_sum_of_errors_over_the_sum_of_demand() -> None:
    assert metrics.wape(TARGET, MEAN) == pytest.approx((1 + 0 + 2 + 3) / 16)


def test_bias_is_signed_and_positive_where_too_much_is_forecast() -> None:
    assert metrics.bias(TARGET, MEAN) == pytest.approx((1 + 0 - 2 + 3) / 16)


def test_measures_without_any_demand_have_no_value() -> None:
    nothing = np.zeros(3)
    assert np.isnan(metrics.wape(nothing, nothing + 1))
    assert np.isnan(metrics.bias(nothing, nothing + 1))
    assert np.isnan(metrics.pinball(np.array([]), np.array([]), 0.5))


@pytest.mark.parametrize(
    ("target", "quantile", "level", "loss"),
    [(10.0, 8.0, 0.9, 1.8), (8.0, 10.0, 0.9, 0.2), (10.0, 8.0, 0.5, 1.0), (5.0, 5.0, 0.05, 0.0)],
)
def test_pinball_weighs_a_shortage_by_the_level_and_an_excess_by_the_rest(
    target: float, quantile: float, level: float, loss: float
) -> None:
    assert metrics.pinball(np.array([target]), np.array([quantile]), level) == pytest.approx(loss)


def test_coverage_counts_rows_at_or_below_the_quantile() -> None:
    quantiles = np.repeat(np.array([[0.0], [1.0], [4.0], [9.0]]), len(LEVELS), axis=1)
    assert metrics.coverage(TARGET, quantiles) == dict.fromkeys(LEVELS, 0.5)


def test_crossing_is_the_share_of_rows_with_any_pair_out_of_order() -> None:
    ordered = np.arange(len(LEVELS), dtype=float)
    crossed = ordered.copy()
    crossed[3] = -1.0
    assert metrics.crossing(np.array([ordered, crossed])) == 0.5


def test_the_scale_of_a_series_starts_at_its_first_sale() -> None:
    demand = np.array([0.0, 0.0, 3.0, 1.0, 4.0])  # changes from the first sale on: -2 and 3
    daily = _daily({("s", "sold"): demand, ("s", "never"): np.zeros(5), ("t", "constant"): np.full(5, 2.0)})
    assert metrics.squared_scales(daily) == {("s", "sold"): pytest.approx((4 + 9) / 2)}


def _daily(series: dict[tuple[str, str], np.ndarray]) -> Daily:
    length = 5
    return Daily(
        store=np.array([key[0] for key in series for _ in range(length)]),
        product=np.array([key[1] for key in series for _ in range(length)]),
        day=np.tile(np.arange(length), len(series)),
        demand=np.concatenate(list(series.values())),
        price=np.full(length * len(series), np.nan),
        promoted=np.full(length * len(series), np.nan),
    )
