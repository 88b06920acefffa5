"""Gradient-boosted trees over all series at once: one model of the mean, one of the spread around it, conformalised.

The mean is Tweedie, which suits counts with many zeros (`reg:tweedie`). The spread model learns the quantiles of the standardised
error z = (y - mean) / sqrt(1 + mean) by the pinball loss at every level (`reg:quantileerror`), on means of models that had not
seen the series. A quantile is mean + sqrt(1 + mean) × z, corrected and sorted by `training.quantiles`.

More sales never lower a forecast, neither its mean nor a quantile. Without this, trees learn from rare bursts that "a high
hour is followed by less", and an order would shrink while customers queue. The mean is bound to rise with every input that a
sale raises; the spread model does not see those inputs; and where a quantile is above 0, it rises with the mean whatever its z.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from contracts.features import SALES_ROLLING, features_of
from contracts.vector import MODEL_INPUTS
from training.quantiles import adjust, conformal_offsets, horizon_group, spread
from training.rows import LEVELS, Floats, Forecast, History, Matrix, Rows
from training.scorer import MEAN, SPREAD, Manifest, write_manifest
from training.split import calibration_split, iso_day

_RISING = ("units_", "receipts_", "sales_")  # every input that a sale can raise: one left out could undo the others
_FALLING = ("hours_since_last_sale",)
_OF_SALES = {feature.name for feature in features_of(SALES_ROLLING.name)} | {"hours_since_last_sale", "price_ratio_28d"}
SPREAD_INPUTS = tuple(name for name in MODEL_INPUTS if name not in _OF_SALES)
FOLDS = 2
MAX_BIN = 64  # inputs are counts and prices: finer cuts cost time and win nothing
# OpenMP's threads spin while they wait: on a machine that others use too, two of them are a hundred times slower than one. The
# two fits of a candidate are independent, so they run side by side with one thread each, and the result depends on neither.
BOOSTER_THREADS = 1


@dataclass(frozen=True, slots=True)
class Boosters:
    """The two models of one fit."""

    mean: Any
    spread: Any

    def predict(self, rows: Rows) -> tuple[Floats, Floats]:
        """Mean and raw quantiles, which may cross, in units."""
        mean = predicted(self.mean, rows.x)
        return mean, mean[:, None] + spread(mean)[:, None] * predicted(self.spread, inputs_of_spread(rows))


@dataclass(frozen=True, slots=True)
class FittedXGBoost:
    """The models fitted on everything, and the offsets learnt on the days that the first fit had not seen."""

    boosters: Boosters
    offsets: Floats
    origin_day: int
    calibration_rows: int
    name: str

    def predict(self, questions: Rows) -> Forecast:
        """Corrected and sorted quantiles."""
        mean, quantiles = self.boosters.predict(questions)
        return Forecast(mean, adjust(mean, quantiles, horizon_group(questions.column("days_ahead")), self.offsets))

    def export(self, folder: Path) -> None:
        """Both models in XGBoost's own format, and the manifest."""
        self.boosters.mean.save_model(folder / MEAN)
        self.boosters.spread.save_model(folder / SPREAD)
        write_manifest(
            folder,
            Manifest(
                kind="xgboost",
                candidate=self.name,
                trained_through=iso_day(self.origin_day - 1),
                offsets=self.offsets.tolist(),
                spread_inputs=SPREAD_INPUTS,
            ),
        )

    def notes(self) -> dict[str, float]:
        """How many rows calibrated the quantiles."""
        return {"calibration_rows": float(self.calibration_rows)}


@dataclass(frozen=True, slots=True)
class XGBoostQuantiles:
    """The candidate. Deterministic for a seed."""

    mean_rounds: int = 150
    mean_depth: int = 4
    mean_eta: float = 0.08
    spread_rounds: int = 30
    spread_depth: int = 3
    spread_eta: float = 0.2
    min_child_weight: float = 10.0
    tweedie_power: float = 1.3
    seed: int = 7
    name: str = "xgboost"

    def params(self) -> dict[str, Any]:
        """Every hyperparameter."""
        return {key: value for key, value in asdict(self).items() if key != "name"}

    def fit(self, history: History) -> FittedXGBoost:
        """Two fits: one whose errors on the last days make the offsets, one on everything."""
        early, calibration = calibration_split(history)
        with ThreadPoolExecutor(2) as pool:
            first, final = pool.map(self._boosters, (early.rows, history.rows))
        mean, quantiles = first.predict(calibration)
        groups = horizon_group(calibration.column("days_ahead"))
        offsets = conformal_offsets(calibration.target, mean, quantiles, groups)
        return FittedXGBoost(final, offsets, history.origin_day, len(calibration), self.name)

    def _boosters(self, rows: Rows) -> Boosters:
        mean = self._unseen_mean(rows)
        return Boosters(self._mean(rows), self._spread(rows, (rows.target - mean) / spread(mean)))

    def _unseen_mean(self, rows: Rows) -> Floats:
        """The mean of each row by a model of the other half of the series: errors on fitted rows would be too small."""
        _, series = np.unique(np.stack([rows.store, rows.product]), axis=1, return_inverse=True)
        if np.max(series) + 1 < FOLDS:  # nothing to take turns with; the conformal offsets alone widen the quantiles
            return predicted(self._mean(rows), rows.x)
        mean = np.empty(len(rows))
        for fold in range(FOLDS):
            inside = series % FOLDS == fold
            mean[inside] = predicted(self._mean(rows.where(~inside)), rows.x[inside])
        return mean

    def _mean(self, rows: Rows) -> Any:
        return self._train(
            rows.x,
            rows.target,
            self.mean_rounds,
            objective="reg:tweedie",
            tweedie_variance_power=self.tweedie_power,
            max_depth=self.mean_depth,
            eta=self.mean_eta,
            monotone_constraints=tuple(monotone(name) for name in MODEL_INPUTS),
            # The default start is the mean of the targets, whose logarithm does not exist where nothing was ever sold.
            base_score=max(float(rows.target.mean()), 1e-3),
        )

    def _spread(self, rows: Rows, errors: Floats) -> Any:
        return self._train(
            inputs_of_spread(rows),
            errors,
            self.spread_rounds,
            objective="reg:quantileerror",
            quantile_alpha=list(LEVELS),
            max_depth=self.spread_depth,
            eta=self.spread_eta,
        )

    def _train(self, x: Matrix, target: Floats, rounds: int, **params: Any) -> Any:
        common = {
            "tree_method": "hist",
            "max_bin": MAX_BIN,
            "min_child_weight": self.min_child_weight,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "nthread": BOOSTER_THREADS,
            "seed": self.seed,
        }
        matrix = xgboost.QuantileDMatrix(x, target, max_bin=MAX_BIN, nthread=BOOSTER_THREADS)
        return xgboost.train({**common, **params}, matrix, rounds)


def predicted(booster: Any, x: Matrix) -> Floats:
    """What a booster says of a matrix: one value per row, or one per row and level."""
    values: Floats = booster.predict(xgboost.DMatrix(x, nthread=BOOSTER_THREADS)).astype(np.float64)
    return values


def inputs_of_spread(rows: Rows) -> Matrix:
    """The columns that the spread model reads."""
    return rows.x[:, [MODEL_INPUTS.index(name) for name in SPREAD_INPUTS]]


def monotone(name: str) -> int:
    """The direction in which the forecast may move with an input: 1 up, -1 down, 0 either."""
    if name in _FALLING:
        return -1
    return int(name.startswith(_RISING))
