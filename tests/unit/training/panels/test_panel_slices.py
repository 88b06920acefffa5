"""Errors by what was planned and by segment, and what the trees look at: each against the slow way to say it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.panel_world import DAYS, shop
from training.panels.backtest import CHOSEN, Backtest, backtest
from training.panels.candidates.boosted import XGBOOST, GlobalTrees
from training.panels.candidates.fitting import Recipe
from training.panels.candidates.naive import MovingAverage, SeasonalNaive
from training.panels.engine import Plan
from training.panels.kept import KeptMeans
from training.panels.panel import Panel
from training.panels.report import FEATURES, page
from training.panels.scores import pooled
from training.panels.slices import PRICE_CUT, by_plan, by_segment, price_cut

ORIGIN, HORIZON = 69, 7
SMALL = Recipe(rounds=15, depth=3, eta=0.2, rows=4_000)
PLAN = Plan([GlobalTrees(SMALL), SeasonalNaive(), MovingAverage()], replace(SMALL, rounds=5), past=2)


def slow_wape(truth: list[float], said: list[float]) -> float:
    """One row after the other."""
    return sum(abs(a - b) for a, b in zip(truth, said, strict=True)) / sum(truth)


@pytest.fixture(scope="module")
def panel() -> Panel:
    return shop()


@pytest.fixture(scope="module")
def done(panel: Panel) -> Backtest:
    return backtest(panel, [panel.date_of(ORIGIN)], PLAN)


def test_the_error_on_a_promotion_is_that_of_its_rows_alone(panel: Panel, done: Backtest) -> None:
    found = by_plan(panel, ORIGIN, done.last)["x_promotion"][CHOSEN]
    ahead = range(HORIZON)
    rows = [(s, lead) for s in range(panel.series) for lead in ahead if panel.known["x_promotion"][s, ORIGIN + 1 + lead] == 1]
    truth = [float(panel.units[s, ORIGIN + 1 + lead]) for s, lead in rows]
    said = [float(done.last[CHOSEN].mean[s, lead]) for s, lead in rows]
    assert found["rows_high"] == len(rows) > 0
    assert found["wape_high"] == pytest.approx(slow_wape(truth, said))
    assert done.as_json()["last_origin_by_plan"]["x_promotion"][CHOSEN] == found


def test_a_price_cut_is_below_the_base_price_or_else_below_the_usual_one(panel: Panel) -> None:
    assert panel.price is not None
    cut = price_cut(panel, ORIGIN, HORIZON)
    assert cut is not None
    np.testing.assert_array_equal(cut, panel.price[:, ORIGIN + 1 : ORIGIN + 1 + HORIZON] == 80)
    always = replace(panel, base_price=panel.price.copy())
    based = price_cut(always, ORIGIN, HORIZON)
    assert based is not None
    assert not based.any(), "a base price that falls with the price is no cut"
    assert price_cut(replace(panel, price=None), ORIGIN, HORIZON) is None
    assert PRICE_CUT in by_plan(panel, ORIGIN, {})


def test_segments_split_the_rows_and_lose_none(panel: Panel, done: Backtest) -> None:
    parts = by_segment(panel, ORIGIN, done.last, done.result.segment)
    assert {"low_intermittent", "high_steady"} <= set(parts)
    whole = done.parts["all rows"][CHOSEN][panel.date_of(ORIGIN)]
    assert sum(part[CHOSEN].rows for part in parts.values()) == whole.rows
    assert sum(part[CHOSEN].absolute_error for part in parts.values()) == pytest.approx(whole.absolute_error)
    high = [series for series in range(panel.series) if done.result.segment[series] == 4]
    truth = panel.units[high, ORIGIN + 1 : ORIGIN + 1 + HORIZON].ravel().tolist()
    said = done.last[CHOSEN].mean[high].ravel().tolist()
    assert pooled([parts["high_steady"][CHOSEN]])["wape"] == pytest.approx(slow_wape(truth, said))
    assert done.segment_scores()["high_steady"][CHOSEN]["wape"] == pytest.approx(slow_wape(truth, said))


def test_importance_is_the_gain_summed_over_the_splits_of_the_trees_that_forecast(done: Backtest) -> None:
    trees = done.result.trees[XGBOOST]
    splits = trees.booster.trees_to_dataframe()
    splits = splits[splits.Feature != "Leaf"]
    gain: dict[str, float] = {}
    for feature, value in zip(splits.Feature, splits.Gain, strict=True):
        name = trees.names[int(feature[1:])]
        gain[name] = gain.get(name, 0.0) + value
    found = done.importance()
    assert set(found) == set(gain)
    assert sum(found.values()) == pytest.approx(1.0)
    for name, share in found.items():
        assert share == pytest.approx(gain[name] / sum(gain.values()), rel=1e-4)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert done.as_json()["importance"] == {"candidate": XGBOOST, "share_of_total_gain": found}


def test_the_report_shows_the_largest_features_and_the_plan(panel: Panel, done: Backtest) -> None:
    report = page(panel, done)
    shown = list(done.importance())[:FEATURES]
    assert report.count("<rect") == len(shown)
    assert all(f">{name}</text>" in report for name in shown)
    assert "WAPE by x_promotion" in report
    assert f"WAPE by {PRICE_CUT}" in report


def test_trees_that_were_kept_say_the_same_as_when_they_were_made(panel: Panel, done: Backtest, tmp_path: Path) -> None:
    plan = replace(PLAN, make=KeptMeans(tmp_path))
    made = backtest(panel, [panel.date_of(ORIGIN)], plan)
    again = backtest(panel, [panel.date_of(ORIGIN)], plan)
    assert again.importance() == made.importance() == done.importance()


def test_rules_alone_have_no_features(panel: Panel) -> None:
    done = backtest(panel, [panel.date_of(ORIGIN)], Plan([SeasonalNaive(), MovingAverage()], quantiles=None, past=2))
    assert done.importance() == {}
    assert "<rect" not in page(panel, done)
    assert DAYS.horizon == HORIZON
