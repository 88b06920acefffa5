"""Training rows are of what was known by then, the same for a seed, and shared by the fits of a forecast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.panel_world import shop
from training.panels.candidates.fitting import Recipe
from training.panels.candidates.rows import TrainingRows
from training.panels.features import FeatureMaker
from training.panels.panel import Panel
from training.panels.sample import Sample, draw, training_origins

HORIZON = 7
EVERY = Recipe(rows=1_000_000)


def counting(series: int, periods: int) -> Panel:
    """Each period sells the number of its column."""
    return replace(shop(series, periods), units=np.tile(np.arange(periods, dtype=np.float64), (series, 1)))


def same(one: Sample | None, other: Sample | None) -> bool:
    assert one is not None
    assert other is not None
    return bool(np.array_equal(one.x, other.x) and np.array_equal(one.target, other.target))


@pytest.mark.parametrize(("freq", "year", "step"), [("D", 364, 5), ("W", 52, 2)])
def test_a_long_history_is_learnt_from_at_the_same_place_of_earlier_years_too(freq: str, year: int, step: int) -> None:
    now = 3 * year
    origins = training_origins(freq, now, HORIZON)
    assert len(origins) <= 60
    assert origins[0] == now - step
    for back in (1, 2):
        assert sum(abs(origin - (now - back * year)) <= 5 * step for origin in origins) >= 10
    assert len(training_origins(freq, 20 * step, HORIZON)) <= 20


def test_rows_are_of_what_is_known_and_the_same_for_a_seed() -> None:
    maker, cut = FeatureMaker(shop()), FeatureMaker(shop().at(69, HORIZON))
    early, late = (draw(each, 69, HORIZON, 500, seed=7) for each in (maker, cut))
    assert early is not None
    assert late is not None
    assert len(early.sample) <= 500
    np.testing.assert_array_equal(early.sample.target, late.sample.target)
    again = draw(maker, 69, HORIZON, 500, seed=7)
    assert again is not None
    assert same(early.sample, again.sample)
    assert 69 - HORIZON < max(training_origins("D", 69, HORIZON)) < 69, "the newest days are learnt from at short leads"


def test_a_fit_of_an_earlier_time_learns_from_no_later_target() -> None:
    rows = TrainingRows(FeatureMaker(counting(series=5, periods=220)), 200, HORIZON)
    now, then = rows.until(200, EVERY), rows.until(150, replace(EVERY, rows=400))
    assert now is not None
    assert then is not None
    assert now.target.max() == 200
    assert then.target.max() == 150


def test_a_fit_of_an_earlier_time_has_the_rows_that_were_drawn_already(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, made = FeatureMaker(shop(series=20, periods=260)), []
    block = FeatureMaker.block
    monkeypatch.setattr(FeatureMaker, "block", lambda self, asked, scale=None: made.append(asked) or block(self, asked, scale))
    rows = TrainingRows(maker, 239, HORIZON)
    rows.until(239, EVERY)
    before = len(made)
    some = rows.until(218, replace(EVERY, rows=1000), share=0.5)
    assert same(some, rows.until(218, replace(EVERY, rows=500)))
    assert some is not None
    assert len(some) == 500
    assert len(made) == before


@pytest.mark.parametrize(("periods", "horizon"), [(70, 14), (500, 90)])
def test_where_hardly_any_were_known_by_then_a_fit_has_rows_of_its_own(periods: int, horizon: int) -> None:
    maker = FeatureMaker(shop(series=4, periods=periods + horizon))
    origin, past = periods - 1, periods - 1 - 3 * horizon
    rows = TrainingRows(maker, origin, horizon)
    own = draw(maker, past, horizon, EVERY.rows, seed=7)
    assert own is not None
    assert same(rows.until(past, EVERY), own.sample)


def test_a_fit_of_long_ago_learns_from_the_season_of_its_own_horizon() -> None:
    periods, horizon, few = 1400, 90, replace(EVERY, rows=200)  # that are easily found around the seasons of today's horizon
    maker = FeatureMaker(counting(series=5, periods=periods))
    origin, past = periods - 1 - horizon, periods - 1 - 4 * horizon
    then = TrainingRows(maker, origin, horizon).until(past, few)
    assert then is not None
    year_before = past + horizon - 365  # where that horizon's last day is in the year before
    assert ((then.target > year_before - horizon / 2) & (then.target <= year_before)).mean() > 0.03


def test_a_panel_without_any_history_has_no_rows() -> None:
    assert TrainingRows(FeatureMaker(shop(series=2)), 0, HORIZON).until(0, EVERY) is None
