"""Every candidate: calibrated, ordered quantiles, repeatable, and served by the scorer exactly as fitted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import ConfigurationError, DataGateError, FingerprintMismatch
from contracts.vector import MODEL_INPUTS, VECTOR_FINGERPRINT
from training.backtest import backtest
from training.frame import Frame
from training.live_block import SPREAD_NAMES
from training.metrics import coverage, crossing
from training.models.base import Candidate, Fitted, asked_of
from training.models.naive import FittedNaive, SeasonalNaive
from training.models.prophet import DAYS_AHEAD, MIN_DAYS, ProphetPerSeries
from training.models.xgboost import MEAN_RECIPE, SPREAD_RECIPE, XGBoostQuantiles, monotone
from training.rows import Daily, History, Rows
from training.scorer import FORMAT, MANIFEST, SPREAD, load_scorer
from training.split import history_at, iso_day
from training.train import check_served_form

SMALL_TREES = XGBoostQuantiles(replace(MEAN_RECIPE, rounds=50, eta=0.15), replace(SPREAD_RECIPE, rounds=15, eta=0.3))
CANDIDATES: list[Candidate] = [SeasonalNaive(), SMALL_TREES, ProphetPerSeries(max_series=2)]


@pytest.fixture(scope="module")
def history(frame: Frame) -> History:
    return history_at(frame.sampled, frame.daily, frame.plan.origins[-1])


@pytest.fixture(scope="module")
def questions(frame: Frame) -> Rows:
    return frame.judged.where(frame.judged.as_of_day == frame.plan.origins[-1])


@pytest.fixture(scope="module", params=CANDIDATES, ids=lambda candidate: candidate.name)
def fitted(request: pytest.FixtureRequest, history: History) -> Fitted:
    candidate: Candidate = request.param
    return candidate.fit(history)


def test_quantiles_are_ordered_and_forecasts_never_negative(fitted: Fitted, questions: Rows) -> None:
    forecast = fitted.predict(questions)
    assert crossing(forecast.quantiles) == 0
    assert (forecast.mean >= 0).all()
    assert (forecast.quantiles >= 0).all()
    assert np.isfinite(forecast.quantiles).all()


def test_most_demand_lies_below_the_high_quantiles(fitted: Fitted, questions: Rows) -> None:
    shares = coverage(questions.target, fitted.predict(questions).quantiles)
    assert 0.80 <= shares[0.9] <= 0.98
    assert shares[0.975] >= 0.93


def test_the_served_form_gives_the_same_numbers(fitted: Fitted, questions: Rows, tmp_path: Path) -> None:
    fitted.export(tmp_path)
    check_served_form(fitted, tmp_path, questions)
    scorer = load_scorer(tmp_path)
    expected = fitted.predict(questions)
    one = scorer.score([questions.x[3].tolist()], asked_of(questions)[3:4])[0]
    assert one.mean == pytest.approx(expected.mean[3], rel=1e-5)
    assert one.quantiles == pytest.approx(expected.quantiles[3], rel=1e-4, abs=1e-4)
    assert len(one.quantiles) == len(scorer.levels)
    assert scorer.score([], []) == []
    assert scorer.score_matrix(questions.x[:0], []).quantiles.shape == (0, len(scorer.levels))


def test_the_targets_of_the_questions_are_not_read(fitted: Fitted, questions: Rows) -> None:
    blind = replace(questions, target=np.full(len(questions), np.nan))
    np.testing.assert_array_equal(fitted.predict(blind).quantiles, fitted.predict(questions).quantiles)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda candidate: candidate.name)
def test_the_same_history_gives_the_same_model(candidate: Candidate, history: History, questions: Rows) -> None:
    first, second = candidate.fit(history).predict(questions), candidate.fit(history).predict(questions)
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.quantiles, second.quantiles)


def test_a_manifest_says_what_the_model_reads_and_how_far_it_has_seen(fitted: Fitted, history: History, tmp_path: Path) -> None:
    fitted.export(tmp_path)
    manifest = load_scorer(tmp_path).manifest
    assert manifest.fingerprint == VECTOR_FINGERPRINT
    assert manifest.inputs == MODEL_INPUTS
    assert manifest.trained_through == iso_day(history.origin_day - 1)


def test_a_model_of_other_inputs_is_refused(tmp_path: Path) -> None:
    FittedNaive(np.zeros((3, 8)), 20_000).export(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace(VECTOR_FINGERPRINT, "0123456789abcdef"))
    with pytest.raises(FingerprintMismatch, match="0123456789abcdef"):
        load_scorer(tmp_path)


def test_a_model_with_its_inputs_in_another_order_is_refused(tmp_path: Path) -> None:
    FittedNaive(np.zeros((3, 8)), 20_000).export(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(
        text.replace("units_1h", "swap").replace("units_24h", "units_1h").replace("swap", "units_24h")
    )
    with pytest.raises(FingerprintMismatch):
        load_scorer(tmp_path)


def test_a_folder_that_is_no_model_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a model"):
        load_scorer(tmp_path)


def test_a_model_of_another_format_or_without_its_files_is_refused(history: History, tmp_path: Path) -> None:
    SMALL_TREES.fit(history).export(tmp_path)
    text = (tmp_path / MANIFEST).read_text()
    (tmp_path / MANIFEST).write_text(text.replace(f'"format": {FORMAT}', '"format": 1'))
    with pytest.raises(ConfigurationError, match="of format 1"):
        load_scorer(tmp_path)
    (tmp_path / MANIFEST).write_text(text)
    (tmp_path / SPREAD).unlink()
    with pytest.raises(ConfigurationError, match="it has no spread"):
        load_scorer(tmp_path)


def test_a_baseline_that_nothing_beats_is_not_the_challenger(frame: Frame) -> None:
    test = backtest(frame, [SeasonalNaive(), ProphetPerSeries(max_series=1)])
    assert test.challenger().candidate.name == "prophet"
    assert backtest(frame, [SeasonalNaive()]).challenger().candidate.name == "seasonal_naive"


def test_a_served_form_that_differs_is_not_registered(history: History, questions: Rows, tmp_path: Path) -> None:
    fitted = SeasonalNaive().fit(history)
    replace(fitted, offsets=fitted.offsets + 0.1).export(tmp_path)
    with pytest.raises(DataGateError, match="differs from it in its quantiles, by up to"):
        check_served_form(fitted, tmp_path, questions)


def test_a_burst_of_sales_never_lowers_a_forecast_and_raises_them_together(history: History, questions: Rows) -> None:
    fitted = SMALL_TREES.fit(history)
    burst = questions.x.copy()
    for at, name in enumerate(MODEL_INPUTS):
        if monotone(name) > 0:
            burst[:, at] += 60 if name.startswith("units_") else 40 if name.startswith("receipts_") else 20_000
        if monotone(name) < 0:
            burst[:, at] = 0
    before, after = fitted.predict(questions), fitted.predict(replace(questions, x=burst))
    assert (after.mean >= before.mean).all()
    assert after.mean.sum() > 1.05 * before.mean.sum()
    assert (after.quantiles >= before.quantiles).all()
    assert (after.quantiles.sum(axis=0) > before.quantiles.sum(axis=0)).all()


def test_every_input_that_a_sale_raises_is_bound() -> None:
    rising = {name for name in MODEL_INPUTS if monotone(name) > 0}
    assert {"units_1h", "units_24h", "units_today", "units_7d", "units_28d", "receipts_1h", "sales_28d"} <= rising
    assert not rising & set(SPREAD_NAMES), "the spread around the mean depends on nothing that a sale changes"
    assert not {"refunds_28d", "returned_units_28d", "planned_price", "days_ahead", "mean_price_28d"} & rising


def test_trees_survive_a_history_without_any_sale(history: History, questions: Rows) -> None:
    rows = replace(history.rows, target=np.zeros(len(history.rows)))
    forecast = SMALL_TREES.fit(replace(history, rows=rows)).predict(questions)
    assert np.isfinite(forecast.mean).all()
    assert forecast.mean.max() < 0.2


def test_trees_react_to_the_numbers_and_not_to_the_names_of_series(history: History, questions: Rows) -> None:
    renamed = replace(history.rows, store=np.char.add("x-", history.rows.store))
    np.testing.assert_array_equal(
        SMALL_TREES.fit(replace(history, rows=renamed)).predict(questions).mean, SMALL_TREES.fit(history).predict(questions).mean
    )


def test_prophet_models_the_series_that_sell_most_and_counts_the_rest(history: History) -> None:
    notes = ProphetPerSeries(max_series=3).fit(history).notes()
    assert notes == {"series_modelled": 3.0, "series_fallback": 21.0}


def test_a_series_without_a_prophet_model_is_answered_by_seasonal_naive(history: History, questions: Rows) -> None:
    fitted = ProphetPerSeries(max_series=1).fit(history)
    known = str(fitted.table.store[0]), str(fitted.table.product[0])
    other = np.array([key != known for key in zip(questions.store.tolist(), questions.product.tolist(), strict=True)])
    naive = SeasonalNaive().fit(history).predict(questions).mean
    np.testing.assert_array_equal(fitted.predict(questions).mean[other], naive[other])
    assert not np.array_equal(fitted.predict(questions).mean[~other], naive[~other])


def test_the_table_of_a_prophet_model_is_the_model(history: History) -> None:
    """The oracle is Prophet asked directly, at prices and promotions that the table was not made from."""
    import pandas as pd
    from prophet import Prophet

    from training.models.prophet import _history_frame, fit_line
    from training.models.quiet_prophet import quiet
    from training.split import date_of

    series, at = next(iter(history.daily.series().items()))
    with quiet():
        line = fit_line(series, history.daily, at, history.origin_day, seed=7)
        past, regressors = _history_frame(history.daily, at)
        model = Prophet(weekly_seasonality=True, daily_seasonality=False, yearly_seasonality=False, uncertainty_samples=0)
        for regressor in regressors:
            model.add_regressor(regressor, mode="additive")
        model.fit(past, seed=7)
        assert regressors, "the series has had a promotion"
        days = [5, 20]
        asked = pd.DataFrame({"ds": pd.to_datetime([date_of(history.origin_day + d) for d in days])})
        asked = asked.assign(price=[line.price_reference * 0.8, line.price_reference * 1.1], promoted=[1.0, 0.0])
        direct = model.predict(asked)["yhat"].to_numpy()
    moved = line.price_slope * (asked["price"] - line.price_reference) + line.promotion_slope * asked["promoted"]
    np.testing.assert_allclose(line.base[days] + moved.to_numpy(), direct, rtol=1e-6)


def test_a_prophet_table_needs_to_know_whose_rows_it_scores(history: History, questions: Rows, tmp_path: Path) -> None:
    ProphetPerSeries(max_series=1).fit(history).export(tmp_path)
    with pytest.raises(ConfigurationError, match="was not told whose rows"):
        load_scorer(tmp_path).score([questions.x[0].tolist()])


def test_a_prophet_table_ends_after_its_days(history: History, questions: Rows) -> None:
    fitted = ProphetPerSeries(max_series=1).fit(history)
    late = replace(questions, target_day=questions.target_day + DAYS_AHEAD)
    assert fitted.table.predict(late.x, asked_of(late))[2] == len(late)


def test_short_and_dead_series_get_no_prophet_model() -> None:
    def daily(demand: list[float]) -> Daily:
        count = len(demand)
        flat = np.full(count, np.nan)
        return Daily(np.full(count, "s"), np.full(count, "p"), np.arange(count), np.array(demand), flat, flat)

    from training.models.prophet import largest

    assert largest(daily([1.0] * (MIN_DAYS - 1)), 9) == []
    assert largest(daily([0.0] * 60), 9) == []
    assert len(largest(daily([1.0] * MIN_DAYS), 9)) == 1


def test_trees_beat_seasonal_naive_where_there_is_something_to_learn(frame: Frame) -> None:
    test = backtest(frame, [SeasonalNaive(), SMALL_TREES])
    assert test.challenger().candidate.name == "xgboost"
    assert test.results["xgboost"].overall.pinball < test.naive.overall.pinball
    assert test.results["xgboost"].overall.wape < test.naive.overall.wape
    assert {origin: scores.rows for origin, scores in test.naive.by_origin.items()} == {
        origin: scores.rows for origin, scores in test.results["xgboost"].by_origin.items()
    }
    assert set(test.naive.wape_by_group) == {"today", "week_1", "week_2"}
