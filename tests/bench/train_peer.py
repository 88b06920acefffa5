"""mlforecast + XGBoost with conformal intervals, in the environment of requirements/peers-forecast.txt.

`python tests/bench/train_peer.py IN OUT`: IN is an .npz of the panel up to the origin with its plan, OUT one of the forecast and
of the seconds that fitting and forecasting took. It imports nothing of this project: its environment has none of its libraries.
"""

from __future__ import annotations

import sys
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import ExponentiallyWeightedMean, RollingMean
from mlforecast.utils import PredictionIntervals
from xgboost import XGBRegressor

WINDOWS = 3  # of the conformal errors: as many past origins as our engine calibrates on
LAGS = {"D": [1, 2, 3, 4, 7, 14, 21, 28], "W": [1, 2, 3, 4, 8, 13, 26]}
MEANS = {"D": (7, 14, 28, 56), "W": (4, 8, 13, 26)}
DATE = {"D": ["dayofweek", "day", "week"], "W": ["week", "month"]}
MODEL = "trees"


def frame(given: Any, first: int, last: int, units: bool) -> pd.DataFrame:
    """One row per series × period of the columns first..last."""
    series, width = given["units"].shape[0], last - first + 1
    days = np.datetime64(str(given["first"])) + np.arange(first, last + 1) * int(given["step_days"])
    columns = {
        "unique_id": np.repeat(np.arange(series), width),
        "ds": np.tile(days.astype("datetime64[ns]"), series),
        **{name: given[name][:, first : last + 1].ravel() for name in given.files if name.startswith("planned_")},
    }
    if units:
        columns["y"] = np.nan_to_num(given["units"][:, first : last + 1]).ravel()
        columns |= {name: np.repeat(given[name], width) for name in given.files if name.startswith("static_")}
    return pd.DataFrame(columns)


def forecaster(freq: str, threads: int) -> MLForecast:
    """The peer as its users build it, with the objective, depth and bins of our trees."""
    trees = XGBRegressor(
        n_estimators=150,
        max_depth=6,
        learning_rate=0.08,
        max_bin=128,
        subsample=0.8,
        colsample_bynode=0.6,
        tree_method="hist",
        objective="reg:tweedie",
        tweedie_variance_power=1.4,
        n_jobs=threads,
        random_state=7,
    )
    means = [RollingMean(window_size=window, min_samples=1) for window in MEANS[freq]]
    return MLForecast(
        models={MODEL: trees},
        freq="D" if freq == "D" else "7D",
        lags=LAGS[freq],
        lag_transforms={1: [*means, ExponentiallyWeightedMean(alpha=0.2)]},
        date_features=DATE[freq],
        num_threads=threads,
    )


def main(source: str, target: str) -> None:
    """Fits, forecasts, and writes [series, lead] and [series, lead, level]."""
    given = np.load(source)
    origin, horizon, freq = int(given["origin"]), int(given["horizon"]), str(given["freq"])
    levels = given["levels"].tolist()
    started = time.perf_counter()
    history = frame(given, 0, origin, units=True)
    static = [name for name in history.columns if name.startswith("static_")]
    ahead = frame(given, origin + 1, origin + horizon, units=False)
    fitted = forecaster(freq, int(given["threads"])).fit(
        history, static_features=static, prediction_intervals=PredictionIntervals(n_windows=WINDOWS, h=horizon)
    )
    wanted = sorted({round(100 * abs(2 * level - 1), 6) for level in levels if level != 0.5})
    planned = ahead if len(ahead.columns) > 2 else None
    made = fitted.predict(horizon, X_df=planned, level=wanted).sort_values(["unique_id", "ds"])
    seconds = time.perf_counter() - started
    shape = (given["units"].shape[0], horizon)
    columns = [MODEL if level == 0.5 else _column(level, made.columns) for level in levels]
    np.savez(
        target,
        mean=made[MODEL].to_numpy().reshape(shape),
        quantiles=np.stack([made[column].to_numpy().reshape(shape) for column in columns], axis=2),
        seconds=seconds,
        version=version("mlforecast"),
    )


def _column(level: float, columns: Any) -> str:
    """The side of the central interval that is this quantile."""
    side, width = ("lo", 100 * (1 - 2 * level)) if level < 0.5 else ("hi", 100 * (2 * level - 1))
    prefix = f"{MODEL}-{side}-"
    return next(name for name in columns if name.startswith(prefix) and abs(float(name.removeprefix(prefix)) - width) < 1e-6)


if __name__ == "__main__":
    main(*sys.argv[1:])
