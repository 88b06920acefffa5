"""Panel scores against hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest

from tests.panel_world import panel_of
from training.panels.forecasts import PanelForecast
from training.panels.scores import measure, pooled
from training.rows import LEVELS


def flat(mean: list[list[float]], spread: float = 0.0) -> PanelForecast:
    """Quantiles at the mean, plus `spread` times the level."""
    means = np.array(mean, dtype=np.float64)
    return PanelForecast(means, means[:, :, None] + spread * np.array(LEVELS))


def test_wape_and_bias_pool_all_units() -> None:
    panel = panel_of({("S", "A"): [2, 4, 10, 10], ("S", "B"): [1, 2, 0, 5]})
    scores = pooled([measure(panel, 1, flat([[8, 14], [1, 1]]))])
    assert scores["rows"] == 4
    assert scores["wape"] == pytest.approx((2 + 4 + 1 + 4) / 25)
    assert scores["bias"] == pytest.approx((-2 + 4 + 1 - 4) / 25)


def test_rmsse_is_scaled_by_the_changes_since_the_first_sale() -> None:
    panel = panel_of({("S", "A"): [0, 0, 2, 6, 4, 5, 5]})
    scores = pooled([measure(panel, 4, flat([[8, 2]]))])
    assert scores["rmsse"] == pytest.approx(np.sqrt(((9 + 9) / 2) / ((16 + 4) / 2)))


def test_a_series_whose_history_does_not_move_has_no_scale() -> None:
    panel = panel_of({("S", "A"): [3, 3, 3, 9], ("S", "B"): [1, 2, 3, 4]})
    scores = pooled([measure(panel, 2, flat([[0], [2]]))])
    assert scores["rmsse"] == pytest.approx(2.0)
    assert scores["rows"] == 2


def test_spl_is_the_pinball_loss_over_the_mean_change() -> None:
    panel = panel_of({("S", "A"): [1, 3, 10]})
    scores = pooled([measure(panel, 1, flat([[6]]))])
    assert scores["spl"] == pytest.approx(np.mean([0.5, 0.75, 0.9, 0.95, 0.975]) * 4 / 2)


def test_an_unknown_row_does_not_count_and_is_not_a_zero() -> None:
    panel = panel_of({("S", "A"): [1, 2, None, 4]})
    scores = pooled([measure(panel, 1, flat([[100, 4]]))])
    assert scores["rows"] == 1
    assert scores["wape"] == 0.0


def test_a_series_that_is_not_known_up_to_the_origin_does_not_count() -> None:
    panel = panel_of({("S", "A"): [1, 2, 3], ("S", "B"): [None, None, 7]})
    assert pooled([measure(panel, 1, flat([[3], [0]]))])["rows"] == 1


def test_periods_out_of_stock_can_be_left_out() -> None:
    panel = panel_of({("S", "A"): [1, 2, 4, 8]}, in_stock=[1.0, 1.0, 0.5, 1.0])
    scores = pooled([measure(panel, 1, flat([[0, 8]]), only_in_stock=True)])
    assert scores["rows"] == 1
    assert scores["wape"] == 0.0


def test_coverage_counts_the_quantile_itself_and_crossing_any_two() -> None:
    panel = panel_of({("S", "A"): [1, 2, 3, 3]})
    forecast = flat([[3, 2]])
    forecast.quantiles[0, 1] = forecast.quantiles[0, 1, ::-1] + np.linspace(1, 0, len(LEVELS))
    scores = pooled([measure(panel, 1, forecast)])
    assert scores["coverage"]["0.5"] == pytest.approx(0.5)
    assert scores["crossing"] == pytest.approx(0.5)


def test_all_zeros_have_no_wape() -> None:
    panel = panel_of({("S", "A"): [0, 0, 0, 0]})
    scores = pooled([measure(panel, 1, flat([[0, 1]]))])
    assert scores["wape"] is None
    assert scores["rmsse"] is None
    assert scores["spl"] is None


def test_over_origins_rows_pool_and_series_average() -> None:
    panel = panel_of({("S", "A"): [1, 2, 10, 1]})
    parts = [measure(panel, 1, flat([[0]])), measure(panel, 2, flat([[1]]))]
    scores = pooled(parts)
    assert scores["wape"] == pytest.approx(10 / 11)
    assert scores["rmsse"] == pytest.approx((10 + 0) / 2)
