"""A model that is kept says what the forecast it was made by says, to the last digit, and goes on from a later origin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ConfigurationError, DataGateError, FingerprintMismatch, UsageError
from tests.panel_world import DAYS, shop, without_future
from training.panels.candidates.base import PanelCandidate, Task
from training.panels.candidates.boosted import GlobalTrees
from training.panels.candidates.fitting import Recipe
from training.panels.candidates.intermittent import SBA, TSB, Intermittent
from training.panels.candidates.naive import MovingAverage, SeasonalNaive
from training.panels.engine import Plan, Result, forecast
from training.panels.features import FeatureMaker
from training.panels.forecasts import PanelForecast
from training.panels.model import CORRECTIONS, FACTS, FORMAT, PanelModel, learnt_by, load, prove, save
from training.panels.panel import Panel

ORIGIN, HORIZON = 69, 7
SMALL = Recipe(rounds=15, depth=3, eta=0.2, rows=4_000)
CANDIDATES: list[PanelCandidate] = [
    GlobalTrees(SMALL),
    SeasonalNaive(),
    MovingAverage(),
    Intermittent(SBA),
    Intermittent(TSB),
]
PLAN = Plan(CANDIDATES, replace(SMALL, rounds=5), past=2)


def same(one: PanelForecast, other: PanelForecast) -> bool:
    """Equal to the last digit."""
    return np.array_equal(one.mean, other.mean) and np.array_equal(one.quantiles, other.quantiles)


def kept(panel: Panel, origin: int, plan: Plan, folder: Path) -> tuple[Result, PanelModel]:
    """A forecast, and its model as it is read back."""
    made = forecast(panel, origin, HORIZON, plan)
    folder.mkdir(exist_ok=True)
    save(learnt_by(made, list(plan.candidates), panel, origin, HORIZON), folder)
    return made, load(folder)


def stocked(panel: Panel) -> Panel:
    """With days on which the shelf was empty for a while."""
    out = np.random.default_rng(5).random(panel.units.shape) < 0.2
    return replace(panel, in_stock=np.where(out, 0.5, 1.0))


@pytest.mark.parametrize(
    ("panel", "origin", "plan"),
    [
        (shop(), ORIGIN, PLAN),
        (stocked(shop()), ORIGIN, PLAN),
        (shop(periods=130, dataset=replace(DAYS, freq="W", season_length=52)), 110, PLAN),
        (shop(), ORIGIN, replace(PLAN, candidates=CANDIDATES[1:])),
        (shop(), ORIGIN, replace(PLAN, quantiles=None)),
        (shop(), 12, PLAN),
        (shop(), 2, PLAN),
    ],
    ids=["days", "days with stock", "weeks with last year's", "rules alone", "no trees for quantiles", "no past", "no rows"],
)
def test_what_is_read_back_forecasts_the_same_to_the_last_digit(panel: Panel, origin: int, plan: Plan, tmp_path: Path) -> None:
    made, model = kept(panel, origin, plan, tmp_path)
    assert same(made.chosen, model.forecast(panel, origin, HORIZON))
    assert same(made.chosen, model.forecast(without_future(panel, origin), origin, HORIZON)), "it reads no later units"
    prove(tmp_path, panel, origin, HORIZON, made.chosen)


def test_a_blend_by_segment_is_kept_with_the_rules_it_uses(tmp_path: Path) -> None:
    """Series that repeat a week's pattern beside noisy ones, many enough for segments of their own."""
    panel = shop(series=330, periods=91)
    repeated = np.tile(panel.units[:110, :7], 13)
    panel = replace(panel, units=np.concatenate([repeated, panel.units[110:]]))
    made, model = kept(panel, 83, replace(PLAN, past=3), tmp_path)
    assert made.lesson is not None
    assert len(set(made.lesson.choice.of_segment)) > 1, "a segment has a blend of its own"
    assert model.lesson is not None
    assert model.lesson.choice == made.lesson.choice
    assert same(made.chosen, model.forecast(panel, 83, HORIZON))


def test_a_model_goes_on_from_a_later_origin_with_what_it_learnt(tmp_path: Path) -> None:
    panel = shop()
    _, model = kept(panel, 62, PLAN, tmp_path)
    later = model.forecast(panel, ORIGIN, HORIZON)
    truth = panel.units[:, ORIGIN + 1 : ORIGIN + 1 + HORIZON]
    assert np.abs(later.mean - truth).sum() < np.abs(SeasonalNaive().make(_maker(panel), _task()).means[0] - truth).sum()
    changed = panel.units.copy()
    changed[:, 63 : ORIGIN + 1] *= 3
    risen = model.forecast(replace(panel, units=changed), ORIGIN, HORIZON)
    assert risen.mean.sum() > 1.2 * later.mean.sum(), "it reads what has come since"
    assert model.forecast(panel, ORIGIN, 3).mean.shape == (panel.series, 3)


def test_new_series_are_forecast_by_a_model_that_has_not_seen_them(tmp_path: Path) -> None:
    panel = shop(series=12)
    _, model = kept(panel.only(np.arange(12) < 9), ORIGIN, PLAN, tmp_path)
    made = model.forecast(panel, ORIGIN, HORIZON)
    assert made.mean.shape == (12, HORIZON)
    assert (made.mean[9:].mean(axis=1) > 3).all()


def test_a_panel_without_what_the_model_reads_is_refused(tmp_path: Path) -> None:
    panel = shop()
    _, model = kept(panel, ORIGIN, PLAN, tmp_path)
    with pytest.raises(FingerprintMismatch, match="x_promotion"):
        model.forecast(replace(panel, known={}), ORIGIN, HORIZON)
    with pytest.raises(UsageError, match="7 periods ahead, not 8"):
        model.forecast(panel, ORIGIN, 8)
    with pytest.raises(DataGateError, match="season"):
        model.forecast(replace(panel, dataset=replace(DAYS, season_length=14)), ORIGIN, HORIZON)


def test_a_kept_form_that_says_something_else_ends_the_run(tmp_path: Path) -> None:
    panel = shop()
    made, _ = kept(panel, ORIGIN, PLAN, tmp_path)
    with np.load(tmp_path / CORRECTIONS) as found:
        arrays = dict(found)
    arrays["by_size_offsets"] = arrays["by_size_offsets"] + 1e-9
    np.savez(tmp_path / CORRECTIONS, **arrays)
    with pytest.raises(DataGateError, match="differs from the forecast"):
        prove(tmp_path, panel, ORIGIN, HORIZON, made.chosen)


def test_a_folder_of_another_kind_or_version_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model of a panel"):
        load(tmp_path)
    kept(shop(), ORIGIN, PLAN, tmp_path)
    facts = (tmp_path / FACTS).read_text(encoding="utf-8")
    (tmp_path / FACTS).write_text(facts.replace(f'"format": {FORMAT}', '"format": 0'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="another version"):
        load(tmp_path)
    (tmp_path / FACTS).write_text(facts.replace('"window": 28', '"window": 27'), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="another version"):
        load(tmp_path)


def _maker(panel: Panel) -> FeatureMaker:
    return FeatureMaker(panel.at(ORIGIN, HORIZON))


def _task() -> Task:
    return Task(ORIGIN, (ORIGIN,), HORIZON)
