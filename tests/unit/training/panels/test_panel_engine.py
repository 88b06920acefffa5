"""Laws of the panel engine: what may change a forecast, and what every forecast holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from statsforecast.models import AutoETS

from contracts.errors import DataGateError
from tests.panel_world import DAYS, START, panel_of, rows_of, shop, without_future
from training.panels import past
from training.panels.candidates.boosted import GlobalTrees
from training.panels.candidates.ets import AUTO_ETS, EtsPerSeries
from training.panels.candidates.fitting import Recipe
from training.panels.candidates.intermittent import SBA, Intermittent
from training.panels.candidates.naive import MovingAverage, SeasonalNaive
from training.panels.engine import Plan, Result, forecast
from training.panels.lesson import used
from training.panels.panel import Panel
from training.panels.read import to_panel, typed
from training.rows import LEVELS, Floats

ORIGIN, HORIZON = 69, 7
LENGTH = ORIGIN + 1 + HORIZON
SMALL = Recipe(rounds=15, depth=3, eta=0.2, rows=4_000)
PLAN = Plan([GlobalTrees(SMALL), SeasonalNaive(), MovingAverage(), Intermittent(SBA)], replace(SMALL, rounds=5), past=2)


def run(panel: Panel, origin: int = ORIGIN) -> Result:
    """A small forecast."""
    return forecast(panel, origin, HORIZON, PLAN)


def same(one: Result, other: Result) -> bool:
    """Equal to the last digit."""
    return bool((one.chosen.mean == other.chosen.mean).all() and (one.chosen.quantiles == other.chosen.quantiles).all())


def sound(made: Result, series: int) -> None:
    """What holds of every forecast."""
    mean, quantiles = made.chosen.mean, made.chosen.quantiles
    assert mean.shape == (series, HORIZON)
    assert np.isfinite(mean).all()
    assert np.isfinite(quantiles).all()
    assert (mean >= 0).all()
    assert (quantiles >= 0).all()
    assert (np.diff(quantiles, axis=2) >= 0).all()


@pytest.fixture(scope="module")
def made() -> Result:
    """The forecast of the shop."""
    return run(shop())


def test_the_same_data_and_seed_give_the_same_forecast(made: Result) -> None:
    assert same(made, run(shop()))


def test_threads_change_no_forecast(made: Result) -> None:
    assert same(made, forecast(shop(), ORIGIN, HORIZON, replace(PLAN, threads=3)))


def test_shuffling_what_comes_after_the_origin_changes_nothing(made: Result) -> None:
    panel = shop()
    units = panel.units.copy()
    np.random.default_rng(3).shuffle(units[:, ORIGIN + 1 :].T)
    assert same(made, run(replace(panel, units=units)))


def test_a_panel_cut_at_the_origin_is_enough(made: Result) -> None:
    assert same(made, run(without_future(shop(), ORIGIN)))


def test_a_panel_without_any_later_row_is_forecast_too() -> None:
    panel = shop(periods=ORIGIN + 1)
    made = run(panel)
    sound(made, panel.series)


def test_permuting_the_rows_of_a_file_changes_nothing() -> None:
    panel = shop()
    frame = rows_of(
        {(str(s), str(p)): units.tolist() for s, p, units in zip(panel.stores, panel.products, panel.units, strict=True)}
    )
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=1)
    assert same(*(run(to_panel(typed(rows, "made"), DAYS)) for rows in (frame, shuffled)))


@pytest.mark.parametrize("factor", [0.001, 1000.0])
def test_scaling_units_scales_the_forecasts(made: Result, factor: float) -> None:
    panel = shop()
    scaled = run(replace(panel, units=panel.units * factor))
    assert np.allclose(scaled.chosen.mean, made.chosen.mean * factor, rtol=0.02, atol=0.02 * factor)


def test_a_null_is_not_a_zero() -> None:
    panel = shop()
    gone = np.arange(40, 60)
    null, zero = panel.units.copy(), panel.units.copy()
    null[-1, gone], zero[-1, gone] = np.nan, 0.0
    unknown, empty = run(replace(panel, units=null)), run(replace(panel, units=zero))
    assert unknown.chosen.mean[-1].mean() > empty.chosen.mean[-1].mean()


def test_a_promotion_ahead_raises_the_forecast() -> None:
    panel = shop(series=30)
    promoted, plain = (panel.known["x_promotion"].copy() for _ in range(2))
    promoted[:, ORIGIN + 1 :], plain[:, ORIGIN + 1 :] = 1.0, 0.0
    ahead = run(replace(panel, known={"x_promotion": promoted}, price=None)).chosen.mean
    without = run(replace(panel, known={"x_promotion": plain}, price=None)).chosen.mean
    assert ahead.sum() > 1.2 * without.sum()


def test_what_no_planned_period_says_is_not_learnt_from() -> None:
    panel = shop()
    promo = panel.known["x_promotion"].copy()
    promo[:, ORIGIN + 1 :] = np.nan
    without = {name: values for name, values in panel.known.items() if name != "x_promotion"}
    assert same(run(replace(panel, known={**without, "x_promotion": promo})), run(replace(panel, known=without)))


@pytest.mark.parametrize("unit", [0.001, 1e6])
def test_a_history_too_short_to_look_back_on_has_a_spread_in_its_own_unit(unit: float) -> None:
    values = [4.0, 6.0, 5.0, 9.0, 2.0, 5.0, 7.0, 3.0]
    panels = (panel_of({("S", "A"): [scale * value for value in values]}) for scale in (1.0, unit))
    one, other = (run(panel, len(values) - 1) for panel in panels)
    assert one.past is None
    np.testing.assert_allclose(other.chosen.quantiles, unit * one.chosen.quantiles, rtol=1e-6)
    width = one.chosen.quantiles[0, 0, LEVELS.index(0.9)] - one.chosen.quantiles[0, 0, LEVELS.index(0.1)]
    assert 2.0 < width < 12.0


def test_a_promotion_never_seen_is_forecast_all_the_same() -> None:
    panel = shop()
    never = np.zeros_like(panel.units)
    never[:, ORIGIN + 1 :] = 1.0
    sound(run(replace(panel, known={"x_promotion": never})), panel.series)


def test_days_out_of_stock_are_not_low_demand() -> None:
    panel = shop()
    random = np.random.default_rng(5)
    out = random.random(panel.units.shape) < 0.4
    in_stock = np.where(out, 0.5, 1.0)
    made = run(replace(panel, units=np.where(out, np.floor(panel.units * 0.3), panel.units), in_stock=in_stock))
    truth = panel.units[:, ORIGIN + 1 : ORIGIN + 1 + HORIZON].sum()
    assert abs(made.chosen.mean.sum() / truth - 1) < 0.2


@pytest.mark.parametrize("by_demand", [True, False], ids=["emptied by demand", "empty by chance"])
def test_where_shelves_run_empty_the_forecast_is_of_demand_and_not_of_the_days_in_stock(by_demand: bool) -> None:
    random = np.random.default_rng(7)
    demand = random.poisson(random.gamma(4.0, 2.5, (60, LENGTH))).astype(float)  # 10 on average
    shelf = 13.0 if by_demand else np.where(random.random(demand.shape) < 0.4, demand * random.random(demand.shape), np.inf)
    sold = np.minimum(demand, np.floor(shelf))
    panel = panel_of({(f"S{number % 4}", f"P{number // 4}"): list(row) for number, row in enumerate(sold)})
    order = [list(zip(panel.stores, panel.products, strict=True)).index((f"S{n % 4}", f"P{n // 4}")) for n in range(60)]
    in_stock = np.empty_like(sold)
    in_stock[order] = np.where(sold < demand, 0.6, 1.0)
    made = run(replace(panel, in_stock=in_stock))

    assert made.chosen.mean.mean() == pytest.approx(10.0, rel=0.15)


def test_a_closed_day_sells_nothing_and_teaches_nothing() -> None:
    panel = shop()
    is_open = np.ones_like(panel.units)
    is_open[:, 6::7] = 0.0  # Sundays
    panel = replace(panel, units=panel.units * is_open, known={"x_open": is_open})
    made = run(panel)
    shut = is_open[:, ORIGIN + 1 : ORIGIN + 1 + HORIZON] == 0
    assert (made.chosen.mean[shut] == 0).all()
    assert (made.chosen.quantiles[shut] == 0).all()
    assert made.chosen.mean[-1][~shut[-1]].min() > 1


def test_a_new_product_sells_like_its_category() -> None:
    panel = shop(series=24)
    units = panel.units.copy()
    units[5] = np.nan
    made = run(replace(panel, units=units))
    sound(made, 24)
    assert made.chosen.mean[5].min() > 0


def test_a_new_product_beside_dead_ones_takes_its_level_from_where_it_sells() -> None:
    """Nothing began in the past: to trees, what they know nothing of is like the lowest that they know."""
    random = np.random.default_rng(7)
    units = random.poisson(5.0, (60, LENGTH)).astype(float)
    units[:20, 30:] = 0.0  # dead
    panel = panel_of({(f"S{number % 4}", f"P{number // 4}"): list(row) for number, row in enumerate(units)})
    hidden = panel.units.copy()
    hidden[-3:] = np.nan  # products that other stores have
    made = run(replace(panel, units=hidden))
    sound(made, 60)

    assert made.chosen.mean[-3:].mean() == pytest.approx(5.0, rel=0.25)
    assert made.chosen.quantiles[-3:, :, LEVELS.index(0.9)].mean() == pytest.approx(8.0, rel=0.15), "that of a Poisson law"


def test_without_a_past_to_choose_on_trees_are_steadied_by_the_average() -> None:
    values = [4.0, 6.0, 5.0, 9.0, 2.0, 5.0, 7.0, 3.0]
    made = run(panel_of({("S", "A"): values, ("S", "B"): values[::-1]}), len(values) - 1)
    assert made.lesson is None
    np.testing.assert_allclose(made.chosen.mean, (made.means["xgboost"] + made.means["moving_average"]) / 2)


@pytest.mark.parametrize("strange", [1e-3, 1e7, 4e12])
def test_a_series_of_another_size_does_not_spoil_the_others(strange: float) -> None:
    random = np.random.default_rng(7)
    units = random.poisson(5.0, (40, LENGTH)).astype(float)
    of = {(f"S{number % 4}", f"P{number // 4}"): row for number, row in enumerate(units)}
    plain = run(panel_of({key: list(row) for key, row in of.items()}))
    last = list(of)[-1]
    mixed = run(panel_of({key: list(row * strange if key == last else row) for key, row in of.items()}))

    others = slice(0, 39)
    assert mixed.chosen.mean[others].mean() == pytest.approx(plain.chosen.mean[others].mean(), rel=0.1)
    assert np.abs(mixed.means["xgboost"][others] - 5.0).mean() < 1.0
    for level in (0.1, 0.5, 0.9):
        at = LEVELS.index(level)
        one, other = (made.chosen.quantiles[others, :, at].mean() for made in (mixed, plain))
        assert one == pytest.approx(other, rel=0.15)
    assert mixed.chosen.mean[-1].mean() == pytest.approx(5.0 * strange, rel=0.3)


@pytest.mark.parametrize(
    "values",
    [[5.0], [0.0] * 60, [3.0] * 60, [1.0, 2.0, 3.0], [None] * 30 + [2.0], [-1.0, -2.0, 4.0] * 20, [0.0] * 59 + [1.0]],
    ids=["one row", "all zeros", "constant", "three rows", "one known", "returns", "one sale"],
)
def test_one_series_of_any_kind_is_forecast(values: list[float | None]) -> None:
    sound(run(panel_of({("S", "A"): values}), len(values) - 1), 1)


def test_a_constant_series_stays_and_an_empty_one_stays_empty() -> None:
    made = run(panel_of({("S", "A"): [4.0] * 70, ("S", "B"): [0.0] * 70}), 69)
    assert made.chosen.mean[0] == pytest.approx(4.0, rel=0.05)
    assert made.chosen.mean[1] == pytest.approx(0.0, abs=0.05)


def test_a_series_that_a_library_cannot_fit_is_left_open_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = AutoETS.forecast

    def fails_for_the_first(self: AutoETS, y: Floats, h: int) -> dict[str, Floats]:
        if y[0] == 3.0:
            raise Exception("no model able to be fitted")  # as the library says it
        made: dict[str, Floats] = fits(self, y=y, h=h)
        return made

    monkeypatch.setattr(AutoETS, "forecast", fails_for_the_first)
    panel = panel_of({("S", "A"): [3.0] * 80, ("S", "B"): [5.0] * 80})
    result = forecast(panel, ORIGIN, HORIZON, replace(PLAN, candidates=[*PLAN.candidates, EtsPerSeries()], compare=True))
    sound(result, 2)
    assert result.uncovered[AUTO_ETS] == 1


def test_only_what_the_forecast_is_made_of_is_made_and_the_same_as_beside_all_others(made: Result) -> None:
    compared = forecast(shop(), ORIGIN, HORIZON, replace(PLAN, compare=True))
    assert set(compared.means) == {candidate.name for candidate in PLAN.candidates}
    assert set(made.means) == used(made.lesson, made.default) < set(compared.means)
    assert same(made, compared)


def test_before_the_first_row_there_is_nothing_to_forecast_from() -> None:
    with pytest.raises(DataGateError, match="Nothing is known"):
        run(panel_of({("S", "A"): [None, None, 1.0]}), 1)


def test_weeks_with_a_year_of_history_are_forecast() -> None:
    weeks = replace(DAYS, freq="W", season_length=52, horizon=HORIZON)
    panel = replace(shop(series=6, periods=130, dataset=weeks), first=START)
    sound(run(panel, 120), 6)


def test_of_many_series_some_are_looked_back_on_and_all_are_forecast(monkeypatch: pytest.MonkeyPatch, made: Result) -> None:
    monkeypatch.setattr(past, "MAX_SERIES", 5)
    some = run(shop())
    sound(some, shop().series)
    assert some.past is not None
    assert made.past is not None
    drawn = some.past.series
    assert len(drawn) == 5
    for name, means in some.past.means.items():
        np.testing.assert_array_equal(means, made.past.means[name][:, drawn], err_msg="what is said of a series is the same")
    np.testing.assert_array_equal(some.past.truth, made.past.truth[:, drawn])
