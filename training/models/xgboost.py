"""The panel engine's trees on the live model's rows: one booster of the mean, one of the spread around it, conformalised.

The mean is Tweedie, which suits counts with many zeros. The spread model learns the quantiles of the error over its unit,
z = (y - mean) / unit, by the pinball loss at every level, on means of models that had not seen the series. A quantile is
mean + unit × z, corrected and sorted by `training.quantiles`. What a row is divided by is in `training.live_block`.

More sales never lower a forecast, neither its mean nor a quantile. Without this, trees learn from rare bursts that "a high
hour is followed by less", and an order would shrink while customers queue. The mean is bound to rise with every input that a
sale raises; the spread model does not see those inputs; and where a quantile is above 0, it rises with the mean whatever its z.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from contracts.vector import MODEL_INPUTS
from training.live_block import block_of, estimate, known_level, spread_block
from training.panels.block import Block
from training.panels.candidates.fitted import FittedQuantiles, FittedTrees
from training.panels.candidates.fitting import Recipe, fit_mean, fit_quantiles
from training.panels.sample import Sample
from training.quantiles import adjust, conformal_offsets, horizon_group
from training.rows import Floats, Forecast, History, Rows
from training.scorer import MEAN, SPREAD, Manifest, write_manifest
from training.split import calibration_split, iso_day

_RISING = ("units_", "receipts_", "sales_")  # every input that a sale can raise: one left out could undo the others
_FALLING = ("hours_since_last_sale",)
FOLDS = 2
# OpenMP's threads spin while they wait: on a machine that others use too, two of them are a hundred times slower than one. The
# two fits of a candidate are independent, so they run side by side with one thread each, and the result depends on neither.
MEAN_RECIPE = Recipe(rounds=150, eta=0.08, depth=4, tweedie_power=1.3, bins=64)
SPREAD_RECIPE = Recipe(rounds=30, depth=3, eta=0.2, bins=64)


@dataclass(frozen=True, slots=True)
class Boosters:
    """The two models of one fit, and the level that stands for an unknown one, in units a day."""

    mean: FittedTrees
    spread: FittedQuantiles
    typical: float

    def predict(self, rows: Rows) -> tuple[Floats, Floats]:
        """Mean and quantiles before their correction, in units."""
        return estimate(self.mean, self.spread, block_of(rows.x, self.typical))


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
        """Both models as the engine keeps its trees, and the manifest."""
        self.boosters.mean.save(folder / MEAN)
        self.boosters.spread.save(folder / SPREAD)
        write_manifest(
            folder,
            Manifest(
                kind="xgboost",
                candidate=self.name,
                trained_through=iso_day(self.origin_day - 1),
                offsets=self.offsets.tolist(),
                typical_level=self.boosters.typical,
            ),
        )

    def notes(self) -> dict[str, float]:
        """How many rows calibrated the quantiles."""
        return {"calibration_rows": float(self.calibration_rows)}


@dataclass(frozen=True, slots=True)
class XGBoostQuantiles:
    """The candidate. Deterministic for the seeds of its recipes."""

    mean: Recipe = MEAN_RECIPE
    spread: Recipe = SPREAD_RECIPE
    name: str = "xgboost"

    @staticmethod
    def seeded(seed: int) -> XGBoostQuantiles:
        """The candidate as it is, with another seed."""
        return XGBoostQuantiles(replace(MEAN_RECIPE, seed=seed), replace(SPREAD_RECIPE, seed=seed))

    def params(self) -> dict[str, Any]:
        """Every hyperparameter that the result depends on: how many rows there are is the frame's to say."""
        parts = {"mean": asdict(self.mean), "spread": asdict(self.spread)}
        told = {f"{part}_{key}": value for part, recipe in parts.items() for key, value in recipe.items()}
        return {key: value for key, value in told.items() if not key.endswith("_rows")}

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
        typical = typical_level(rows)
        block = block_of(rows.x, typical)
        return Boosters(self._mean(block, rows.target), self._spread(block, rows), typical)

    def _mean(self, block: Block, target: Floats) -> FittedTrees:
        return fit_mean(Sample(block.names, block.x, target, block.scale), self.mean, MONOTONE)

    def _spread(self, block: Block, rows: Rows) -> FittedQuantiles:
        mean = self._unseen_mean(block, rows)
        errors = spread_block(block, mean)
        return fit_quantiles(Sample(errors.names, errors.x, rows.target - mean, errors.scale), self.spread)

    def _unseen_mean(self, block: Block, rows: Rows) -> Floats:
        """The mean of each row by a model of the other half of the series: errors on fitted rows would be too small."""
        _, series = np.unique(np.stack([rows.store, rows.product]), axis=1, return_inverse=True)
        if np.max(series) + 1 < FOLDS:  # nothing to take turns with; the conformal offsets alone widen the quantiles
            return self._mean(block, rows.target).mean(block)
        mean = np.empty(len(rows))
        for fold in range(FOLDS):
            inside = series % FOLDS == fold
            learnt = self._mean(block.where(~inside), rows.target[~inside])
            mean[inside] = learnt.mean(block.where(inside))
        return mean


def typical_level(rows: Rows) -> float:
    """The middle level of these rows, units a day; 1 where none is known or nothing sells."""
    levels = known_level(rows.x)
    levels = levels[levels > 0]
    return float(np.median(levels)) if len(levels) else 1.0


def monotone(name: str) -> int:
    """The direction in which the forecast may move with an input: 1 up, -1 down, 0 either."""
    if name in _FALLING:
        return -1
    return int(name.startswith(_RISING))


MONOTONE = {name: monotone(name) for name in MODEL_INPUTS}
