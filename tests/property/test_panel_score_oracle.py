"""The panel scores say what a slow second implementation says, whatever the panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracles.panel_scores import slow_scores
from tests.panel_world import shop
from training.panels.forecasts import PanelForecast
from training.panels.scores import measure, pooled
from training.rows import LEVELS


@given(seed=st.integers(0, 10_000), origin=st.integers(3, 28), only_in_stock=st.booleans(), priced=st.booleans())
@settings(max_examples=30, deadline=None)
def test_fast_and_slow_scores_agree(seed: int, origin: int, only_in_stock: bool, priced: bool) -> None:
    random = np.random.default_rng(seed)
    panel = shop(series=5, periods=30, seed=seed)
    units = np.where(random.random(panel.units.shape) < 0.2, np.nan, panel.units)
    units[0, : origin + 1] = np.nan  # a series that starts after the origin
    units[1] = 0.0
    in_stock = random.choice([1.0, 0.5, np.nan], panel.units.shape)
    panel = replace(panel, units=units, in_stock=in_stock, price=panel.price if priced else None)
    mean = random.gamma(2.0, 2.0, (5, 7))
    forecast = PanelForecast(mean, mean[:, :, None] * np.array(LEVELS) * 2 + random.normal(0, 0.3, (5, 7, len(LEVELS))))

    fast = pooled([measure(panel, origin, forecast, only_in_stock)])
    slow = slow_scores(panel, origin, forecast, only_in_stock)

    assert fast["rows"] == slow["rows"]
    for name in ("wape", "bias", "rmsse", "wrmsse", "spl", "crossing"):
        assert fast[name] == (None if slow[name] is None else pytest.approx(slow[name])), name
    assert fast["coverage"] == pytest.approx(slow["coverage"])
