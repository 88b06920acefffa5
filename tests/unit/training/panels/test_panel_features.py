"""Features read the past and the plan, never later demand; and each says what its name says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.panel_world import DAYS, panel_of, shop
from training.panels import features, history
from training.panels.block import Asked, Block
from training.panels.features import FeatureMaker
from training.panels.groups import added
from training.panels.history import Prefix, periods_since, smoothed
from training.panels.panel import Panel
from training.panels.plan import filled

HORIZON = 7


def feature(panel: Panel, name: str, origin: int, horizon: int = HORIZON) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """[series, lead] of one feature."""
    block = whole(FeatureMaker(panel), origin, horizon)
    found: np.ndarray[tuple[int, int], np.dtype[np.float32]] = block.x[:, block.names.index(name)].reshape(-1, horizon)
    return found


def whole(maker: FeatureMaker, origin: int, horizon: int = HORIZON) -> Block:
    """All rows of an origin."""
    return maker.block(Asked.grid(origin, horizon, np.arange(maker.panel.series)))


@given(seed=st.integers(0, 1000), origin=st.integers(0, 75))
@settings(max_examples=15, deadline=None)
def test_demand_after_the_origin_changes_no_feature(seed: int, origin: int) -> None:
    panel = shop(series=6)
    other = panel.units.copy()
    other[:, origin + 1 :] = np.random.default_rng(seed).poisson(40.0, other[:, origin + 1 :].shape)
    one, two = (whole(FeatureMaker(replace(panel, units=units)), origin) for units in (panel.units, other))
    assert np.array_equal(one.x, two.x, equal_nan=True)
    assert np.array_equal(one.scale, two.scale)


def test_features_do_not_depend_on_the_unit_but_for_the_scale_itself() -> None:
    panel = shop()
    one, two = (whole(FeatureMaker(replace(panel, units=panel.units * factor)), 60) for factor in (1.0, 1000.0))
    others = [at for at, name in enumerate(one.names) if name != "log_scale"]
    assert np.allclose(one.x[:, others], two.x[:, others], rtol=1e-4, atol=1e-6, equal_nan=True)
    assert np.allclose(two.scale, 1000.0 * one.scale)


def test_the_same_weekday_is_looked_up_at_every_lead() -> None:
    panel = panel_of({("S", "A"): [float(day % 7 + 1) for day in range(84)]})
    scale = FeatureMaker(panel).scale(60)[0]
    weekday = (np.arange(61, 61 + HORIZON) % 7) + 1
    assert np.allclose(feature(panel, "phase_mean_8", 60)[0] * scale, weekday)
    assert np.allclose(feature(panel, "phase_last", 60)[0] * scale, weekday)


def test_leads_past_a_season_look_back_one_more() -> None:
    panel = panel_of({("S", "A"): [float(day) for day in range(84)]})
    scale = FeatureMaker(panel).scale(60)[0]
    assert np.allclose(feature(panel, "phase_last", 60, 14)[0] * scale, [*range(54, 61), *range(54, 61)], rtol=1e-5)


def test_last_year_is_52_weeks_ago() -> None:
    weeks = replace(DAYS, freq="W", season_length=52, horizon=4)
    panel = panel_of({("S", "A"): [float(week) for week in range(120)]}, dataset=weeks)
    scale = FeatureMaker(panel).scale(110)[0]
    assert np.allclose(feature(panel, "year_lag", 110, 4)[0] * scale, [59, 60, 61, 62], rtol=1e-5)


def test_an_unknown_period_counts_in_no_mean() -> None:
    panel = panel_of({("S", "A"): [4.0, None, 8.0, None]})
    assert Prefix.of(panel.units).mean(3, 4)[0] == pytest.approx(6.0)
    assert np.isnan(Prefix.of(panel.units).mean(3, 1)[0])


def test_the_smoothed_level_starts_with_the_first_known_value_and_waits_where_nothing_is_known() -> None:
    level = smoothed(np.array([[np.nan, 4.0, np.nan, 8.0]]), 0.5)[0]
    assert np.isnan(level[0])
    assert level[1:].tolist() == [4.0, 4.0, 6.0]


def test_periods_since_count_from_the_event_itself() -> None:
    since = periods_since(np.array([[0.0, 3.0, 0.0, 0.0, 1.0]]))[0]
    assert np.isnan(since[0])
    assert since[1:].tolist() == [0, 1, 2, 0]


def test_an_unknown_price_is_the_last_one() -> None:
    price = filled(np.array([[np.nan, 100.0, np.nan, 90.0]]))[0]
    assert np.isnan(price[0])
    assert price[1:].tolist() == [100.0, 100.0, 90.0]


def test_the_analogue_of_a_promoted_day_is_what_promoted_days_sold() -> None:
    promoted = [float(day % 5 == 0) for day in range(84)]
    panel = panel_of({("S", "A"): [20.0 if flag else 10.0 for flag in promoted]}, x_promotion=promoted)
    analogue = feature(panel, "analogue", 60)[0]
    ahead = np.array(promoted[61:68])
    assert analogue[ahead == 1].min() > 1.3 * analogue[ahead == 0].max()


def test_a_neighbours_promotion_is_seen_by_the_other_products_of_the_shelf() -> None:
    panel = shop(series=6)
    flags = np.zeros_like(panel.units)
    flags[0, 65] = 1.0
    panel = replace(panel, known={"x_promotion": flags}, stores=np.array(["S"] * 6), codes={"product_category": np.arange(6) % 2})
    peers = feature(panel, "x_promotion_peers", 60)[:, 4]
    assert peers[0] == 0
    assert peers[2] == pytest.approx(0.5)
    assert peers[1] == 0


def test_a_new_series_takes_the_level_of_its_product_elsewhere() -> None:
    panel = panel_of({("S1", "A"): [6.0] * 40, ("S2", "A"): [None] * 40, ("S1", "B"): [90.0] * 40, ("S2", "B"): [90.0] * 40})
    scale = FeatureMaker(panel).scale(39)
    by_name = {(str(s), str(p)): scale[at] for at, (s, p) in enumerate(zip(panel.stores, panel.products, strict=True))}
    assert by_name["S2", "A"] == pytest.approx(6.0)


def test_a_series_that_pauses_has_a_scale_that_is_not_nothing() -> None:
    panel = panel_of({("S", "A"): [10.0] * 100 + [0.0] * 200})
    assert FeatureMaker(panel).scale(299)[0] > 0.1


def test_a_window_without_a_sale_has_a_mean_of_nothing_whatever_the_running_sum_is() -> None:
    values = np.array([[0.1, 0.7, 1234.3, 0.2, 0.0, 0.0, 0.0]])
    assert Prefix.of(values).mean(6, 3).tolist() == [0.0]


@pytest.mark.parametrize("horizon", [1, 7])
def test_a_few_rows_are_those_of_all_rows(horizon: int) -> None:
    panel = replace(shop(series=9), codes={"product_category": np.arange(9) % 2})
    maker, rng = FeatureMaker(panel), np.random.default_rng(3)
    series, lead = rng.integers(0, 9, 20), rng.integers(1, horizon + 1, 20)
    some, everything = maker.block(Asked.pairs(60, horizon, series, lead)), whole(maker, 60, horizon)
    np.testing.assert_array_equal(some.x, everything.x[series * horizon + lead - 1])
    np.testing.assert_array_equal(some.scale, everything.scale[series * horizon + lead - 1])


def test_parts_are_all_rows_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "PART_ROWS", 3 * HORIZON)
    maker = FeatureMaker(shop(series=7))
    parts = list(maker.parts(60, HORIZON, np.arange(7)))
    assert [part for part, _ in parts] == [slice(0, 3), slice(3, 6), slice(6, 7)]
    np.testing.assert_array_equal(np.concatenate([block.x for _, block in parts]), whole(maker, 60).x)


def test_rows_that_were_kept_are_of_the_series_and_the_origin_that_are_asked_for() -> None:
    maker, few = FeatureMaker(shop(series=7)), np.array([2, 5])
    for series, origin in ((np.arange(7), 60), (few, 60), (few, 61), (few, 60)):
        ((part, block),) = maker.parts(origin, HORIZON, series)
        assert part == slice(0, len(series))
        np.testing.assert_array_equal(block.x, maker.block(Asked.grid(origin, HORIZON, series)).x)


def test_sums_of_groups_are_those_of_their_members_whatever_lies_between_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    values, member = np.where(rng.random((40, 6)) < 0.2, np.nan, rng.random((40, 6))), rng.permutation(np.arange(40) % 7)
    monkeypatch.setattr(history, "PART", 3)
    total, number = added(values, member)
    for group in range(7):
        np.testing.assert_allclose(total[group], np.nansum(values[member == group], axis=0))
        np.testing.assert_array_equal(number[group], (~np.isnan(values[member == group])).sum(axis=0))
