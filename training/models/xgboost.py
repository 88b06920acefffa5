"""Gradient-boosted trees over all series at once: one model of the mean, one of all quantiles, conformalised.

The mean is Tweedie, which suits counts with many zeros (Tweedie 1984; `reg:tweedie`). The quantile model minimises the pinball
loss at every level (`reg:quantileerror`); its quantiles cross, so they are corrected and sorted (`training.quantiles`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from contracts.vector import MODEL_INPUTS
from training.quantiles import adjust, conformal_offsets, horizon_group
from training.rows import LEVELS, Floats, Forecast, History, Rows
from training.scorer import MEAN, QUANTILES, Manifest, write_manifest
from training.split import calibration_split, iso_day

# More sales never lower the mean: without this, trees learn from rare bursts that "a high hour is followed by less" and a
# forecast would fall while customers queue. Every input that a sale can raise is bound, or the others could undo it.
_RISING = ("units_", "receipts_", "sales_")
_FALLING = ("hours_since_last_sale",)
MAX_BIN = 64  # inputs are counts and prices: finer cuts cost time and win nothing
# OpenMP's threads spin while they wait: on a machine that others use too, two of them are a hundred times slower than one. The
# two fits of a candidate are independent, so they run side by side with one thread each, and the result depends on neither.
BOOSTER_THREADS = 1


@dataclass(frozen=True, slots=True)
class Boosters:
    """The two models of one fit."""

    mean: Any
    quantiles: Any

    def predict(self, rows: Rows) -> tuple[Floats, Floats]:
        """Raw mean and raw quantiles, which may cross."""
        matrix = xgboost.DMatrix(rows.x, nthread=BOOSTER_THREADS)
        return self.mean.predict(matrix).astype(np.float64), self.quantiles.predict(matrix).astype(np.float64)


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
        self.boosters.quantiles.save_model(folder / QUANTILES)
        write_manifest(
            folder,
            Manifest(
                kind="xgboost",
                candidate=self.name,
                trained_through=iso_day(self.origin_day - 1),
                offsets=self.offsets.tolist(),
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
    quantile_rounds: int = 60
    quantile_depth: int = 5
    quantile_eta: float = 0.12
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
        matrix = xgboost.QuantileDMatrix(rows.x, rows.target, max_bin=MAX_BIN, nthread=BOOSTER_THREADS)
        common = {
            "tree_method": "hist",
            "max_bin": MAX_BIN,
            "min_child_weight": self.min_child_weight,
            "subsample": 0.8,
            "colsample_bytree": 0.8,
            "monotone_constraints": tuple(monotone(name) for name in MODEL_INPUTS),
            "nthread": BOOSTER_THREADS,
            "seed": self.seed,
        }
        mean = {
            "objective": "reg:tweedie",
            "tweedie_variance_power": self.tweedie_power,
            "max_depth": self.mean_depth,
            "eta": self.mean_eta,
            # The default start is the mean of the targets, whose logarithm does not exist where nothing was ever sold.
            "base_score": max(float(rows.target.mean()), 1e-3),
        }
        levels = {
            "objective": "reg:quantileerror",
            "quantile_alpha": list(LEVELS),
            "max_depth": self.quantile_depth,
            "eta": self.quantile_eta,
        }
        return Boosters(
            xgboost.train({**common, **mean}, matrix, self.mean_rounds),
            xgboost.train({**common, **levels}, matrix, self.quantile_rounds),
        )


def monotone(name: str) -> int:
    """The direction in which the forecast may move with an input: 1 up, -1 down, 0 either."""
    if name in _FALLING:
        return -1
    return int(name.startswith(_RISING))
