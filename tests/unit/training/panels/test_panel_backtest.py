"""A backtest judges what would have been said at each origin, goes on where it stopped, and says why it chose."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from contracts.errors import DataGateError, UsageError
from infra.cli import __main__ as cli
from infra.cli.options import day
from tests.panel_world import DAYS, folder_of, panel_of, shop, without_future
from training.panels.backtest import backtest, default_origins
from training.panels.candidates.base import Made, Task
from training.panels.candidates.naive import MOVING_AVERAGE, SEASONAL_NAIVE, MovingAverage, SeasonalNaive
from training.panels.engine import Plan
from training.panels.features import FeatureMaker
from training.panels.forecasts import QUANTILES
from training.panels.kept import KeptMeans

RULES = Plan([SeasonalNaive(), MovingAverage()], quantiles=None, past=2)


@dataclass
class Counting:
    """A candidate that counts how often it is asked."""

    asked: int = 0
    name: str = "counting"
    pooled: bool = True

    def params(self) -> dict[str, Any]:
        """None."""
        return {}

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Ones."""
        self.asked += 1
        return Made([np.ones((len(task.members(maker.panel)), task.horizon)) for _ in task.origins])


def test_every_candidate_is_scored_at_every_origin_and_the_rules_are_among_them() -> None:
    panel = shop()
    origins = [panel.date_of(55), panel.date_of(69)]
    done = backtest(panel, origins, RULES)
    scores = done.scores()
    assert set(scores) == {"chosen", SEASONAL_NAIVE, MOVING_AVERAGE}
    assert scores["chosen"]["rows"] == 2 * 12 * 7
    assert done.scores(origins=[origins[1]])["chosen"]["rows"] == 12 * 7
    assert done.forecasts.columns == ["origin", "date", "store_id", "product_id", "mean", *QUANTILES]
    assert done.forecasts.height == 2 * 12 * 7
    json.dumps(done.as_json())


def test_the_origins_are_the_data_sets_own_or_the_last_whole_horizons() -> None:
    panel = shop()
    assert default_origins(panel) == tuple(panel.date_of(column) for column in (62, 69, 76))
    given = (panel.date_of(40),)
    assert default_origins(replace(panel, dataset=replace(DAYS, origins=given))) == given


def test_a_panel_too_short_to_judge_is_refused() -> None:
    panel = panel_of({("S", "A"): [1.0, 2.0, 3.0]})
    with pytest.raises(DataGateError, match="too short"):
        backtest(panel, default_origins(panel), RULES)
    with pytest.raises(DataGateError, match="no units are known"):
        backtest(panel, [panel.date_of(2)], RULES)


def test_an_origin_after_which_nothing_is_known_yet_is_passed_over() -> None:
    panel, said = shop(), list[str]()
    last = panel.periods - 1
    done = backtest(panel, [panel.date_of(69), panel.date_of(last)], replace(RULES, progress=said.append))
    assert done.origins == (panel.date_of(69),)
    assert any(text.startswith(f"{panel.date_of(last)}: no units are known") for text in said)


def test_what_was_made_before_is_not_made_again(tmp_path: Path) -> None:
    panel, counting = shop(), Counting()
    plan = Plan([MovingAverage(), counting], quantiles=None, past=2, make=KeptMeans(tmp_path))
    first = backtest(panel, [panel.date_of(69)], plan)
    asked = counting.asked
    again = backtest(panel, [panel.date_of(69)], plan)
    assert asked == 2, "once for two past origins, once for the forecast"
    assert counting.asked == asked
    assert first.scores() == again.scores()


def test_other_data_is_made_anew_and_data_after_the_origin_is_no_other_data(tmp_path: Path) -> None:
    panel, counting = shop(), Counting()
    kept = KeptMeans(tmp_path)
    task = Task(60, (60,), 7)
    kept(counting, FeatureMaker(panel.at(60, 7)), task)
    kept(counting, FeatureMaker(without_future(panel, 60).at(60, 7)), task)
    assert counting.asked == 1
    kept(counting, FeatureMaker(replace(panel, units=panel.units + 1).at(60, 7)), task)
    assert counting.asked == 2


def test_a_rule_asked_at_a_past_origin_is_kept_for_the_backtest_of_that_origin(tmp_path: Path) -> None:
    panel, counting = shop(), Counting(pooled=False)
    kept = KeptMeans(tmp_path)
    kept(counting, FeatureMaker(panel.at(60, 7)), Task(53, (53, 60), 7))
    kept(counting, FeatureMaker(panel.at(53, 7)), Task(53, (53,), 7))
    assert counting.asked == 2


def test_an_origin_after_the_last_known_period_is_forecast_from_there_with_longer_leads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    panel = shop(series=4)
    ends = panel.column_of(dt.date(2024, 3, 10))
    units = panel.units.copy()
    units[:, ends + 1 :] = np.nan
    folder = folder_of(tmp_path, replace(panel, units=units))

    def forecast(origin: str, horizon: str) -> tuple[dict[str, Any], pl.DataFrame]:
        out = tmp_path / f"{origin}.parquet"
        options = ["--origin", origin, "--horizon", horizon, "--out", str(out), "--json"]
        assert cli.main(["forecast", "--panel", str(folder), *options]) == 0
        return json.loads(capsys.readouterr().out), pl.read_parquet(out)

    on_time, whole = forecast("2024-03-10", "7")
    late, rows = forecast("2024-03-13", "4")
    assert (on_time["known_up_to"], late["known_up_to"], late["horizon"]) == ("2024-03-10", "2024-03-10", 4)
    assert rows["origin"].unique().to_list() == [dt.date(2024, 3, 13)]
    same_days = whole.filter(pl.col("date") > dt.date(2024, 3, 13))
    assert rows.drop("origin").equals(same_days.drop("origin"))


def test_forecast_and_backtest_as_commands_agree(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out, all_of_it = folder_of(tmp_path, shop(series=4)), tmp_path / "out" / "f.parquet", tmp_path / "b.parquet"
    assert cli.main(["forecast", "--panel", str(folder), "--origin", "2024-03-10", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["series"] == 4
    assert said["rows"] == 28
    rows = pl.read_parquet(out)
    assert rows.columns == ["origin", "date", "store_id", "product_id", "mean", *QUANTILES]
    assert rows["date"].min() > rows["origin"].max()  # type: ignore[operator]
    options = [
        "--origin",
        "2024-03-10",
        "--prophet-series",
        "0",
        "--ets-series",
        "2",
        "--forecasts",
        str(all_of_it),
        "--html",
        str(tmp_path / "r.html"),
        "--json",
    ]
    assert cli.main(["backtest", "--panel", str(folder), *options]) == 0
    scores = json.loads(capsys.readouterr().out)["overall"]["all rows"]
    assert {"chosen", "xgboost", SEASONAL_NAIVE, MOVING_AVERAGE, "sba", "tsb", "auto_ets"} <= set(scores)
    assert pl.read_parquet(all_of_it).height == 28
    report = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert report.count("<svg") == 8, "by lead, volume, promotion and price cut, calibration, features, and two fans"
    assert "seasonal_naive" in report
    assert "http" not in report, "it loads nothing"


def test_forecast_says_which_options_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["forecast", "--panel", str(tmp_path)]) == 2
    assert "--origin" in capsys.readouterr().err
    whole = ["forecast", "--panel", str(tmp_path), "--origin", "2024-03-10", "--out", str(tmp_path / "f")]
    assert cli.main([*whole, "--model", "1", "--track"]) == 2
    assert "--model learns nothing" in capsys.readouterr().err
    assert cli.main(["backtest", "--track"]) == 2
    assert "--track needs --panel" in capsys.readouterr().err
    with pytest.raises(UsageError, match="not a date"):
        day("--origin", "yesterday")


def test_prophet_is_trained_on_the_largest_series_and_says_nothing_of_the_others() -> None:
    from training.panels.candidates.prophet import ProphetPerSeries

    panel = shop(series=3, periods=63)
    means = ProphetPerSeries(max_series=1).make(FeatureMaker(panel.at(55, 7)), Task(55, (55,), 7)).means[0]
    assert np.isnan(means[:2]).all()
    truth = panel.units[2, 56:63]
    assert np.corrcoef(means[2], truth)[0, 1] > 0.5
    assert abs(means[2].sum() / truth.sum() - 1) < 0.3
