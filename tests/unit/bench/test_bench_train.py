"""The training bench's own parts: the panel it makes, what the peer is given, and what it concludes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.train import Run, conclude, given
from tests.bench.train_panel import simulated
from training.panels.backtest import default_origins
from training.panels.forecasts import PanelForecast
from training.panels.panel import Panel
from training.rows import LEVELS


@pytest.fixture(scope="module")
def panel() -> Panel:
    return simulated(series=40, periods=100, horizon=14)


def test_the_panel_has_promotions_that_sell_more_rare_sellers_and_an_origin_before_its_end(panel: Panel) -> None:
    promoted = panel.known["x_promotion"] > 0
    assert 0.02 < promoted.mean() < 0.2
    share = (panel.units > 0).mean(axis=1)
    assert (share < 0.5).any()
    assert (share > 0.9).any()
    normal = panel.units / panel.units.mean(axis=1, keepdims=True)
    assert normal[promoted].mean() > 1.3 * normal[~promoted].mean()
    assert panel.column_of(default_origins(panel)[-1]) == 100 - 14 - 1
    np.testing.assert_array_equal(simulated(40, 100, 14).units, panel.units)


def test_the_peer_is_given_no_units_after_the_origin_and_the_whole_plan(panel: Panel) -> None:
    found = given(panel, 85, 14)
    np.testing.assert_array_equal(found["units"], panel.units[:, :86])
    assert found["planned_x_promotion"].shape == (40, 100)
    assert {"planned_price", "static_store", "static_product", "static_product_category"} <= set(found)


def forecast_of(panel: Panel, factor: float) -> PanelForecast:
    """The truth times a factor."""
    mean = panel.units[:, 86:] * factor
    return PanelForecast(mean, np.repeat(mean[:, :, None], len(LEVELS), axis=2))


def test_seconds_are_per_1000_series_and_errors_are_set_against_the_peers(panel: Panel) -> None:
    good, bad = forecast_of(panel, 1.1), forecast_of(panel, 1.2)
    found = [
        Run(name, seconds, made) for name, seconds, made in (("ours", 4.0, good), ("mlforecast 1", 5.0, bad)) for _ in range(2)
    ]
    outcome = conclude(panel, 85, found, quick=False)
    assert outcome.figures["ours_seconds_per_1000_series"] == pytest.approx(100.0)
    assert outcome.figures["times_peer"] == pytest.approx(0.8)
    assert outcome.figures["wape_over_peer"] == pytest.approx(0.5)
    assert outcome.figures["spl_over_peer"] == pytest.approx(0.5)
    assert outcome.held
    slow = conclude(panel, 85, [Run("ours", 6.0, good), Run("mlforecast 1", 5.0, bad)], quick=False)
    assert not slow.held
    worse = conclude(panel, 85, [Run("ours", 4.0, bad), Run("mlforecast 1", 5.0, good)], quick=False)
    assert not worse.held
