"""How trees learn: a recipe, and the fits of the mean and of the quantiles from a sample.

The target is demand over the series' scale, so that pooled learning is free of units; the loss weighs a row by its scale to a
power between 0 (every series counts alike, as in RMSSE) and 1 (every unit counts alike, as in WAPE).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from training.panels.candidates.fitted import FittedQuantiles, FittedTrees
from training.panels.sample import MAX_ROWS, Sample
from training.rows import LEVELS, Floats, Matrix

NO_SALE = 1e-6  # where trees of demand over scale start that have seen none
FAR = 1000.0  # times a series' scale: beyond it lies a mistake, which one leaf would hand on to other series
HUGE = 10_000.0  # times the usual scale: a mistyped number must not be all that is learnt from
EDGE_ROWS = 20_000  # that say where bins end
FOREST_ROWS = 50_000  # that the trees of a round may see together: on few rows one tree alone says much that is chance
OBJECTIVES = {"tweedie": "reg:tweedie", "squared": "reg:squarederror", "poisson": "count:poisson"}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyperparameters of one booster; `rows` bounds its memory. It learns in one thread."""

    objective: str = "tweedie"
    rounds: int = 100
    depth: int = 6
    eta: float = 0.12
    smallest_leaf: float = 1 / 4000  # of the rows: fewer are an accident
    columns: float = 0.6  # share of the features looked at for a cut
    rows_share: float = 0.8  # share of the rows looked at for a tree
    tweedie_power: float = 1.4
    weight_power: float = 0.5
    bins: int = 128
    forest: int = 1  # trees of a round, at most, where rows are few
    rows: int = MAX_ROWS
    seed: int = 7

    def settings(self, rows: int) -> dict[str, Any]:
        """As XGBoost names them, for so many rows."""
        chosen = {
            "objective": OBJECTIVES[self.objective],
            "max_depth": self.depth,
            "eta": self.eta,
            "min_child_weight": max(1.0, self.smallest_leaf * rows),
            "colsample_bynode": self.columns,
            "subsample": self.rows_share,
            "max_bin": self.bins,
            "num_parallel_tree": max(1, min(self.forest, FOREST_ROWS // max(1, rows))),
            "tree_method": "hist",
            "nthread": 1,  # fits run beside each other: see training/panels/beside.py
            "seed": self.seed,
        }
        return chosen | ({"tweedie_variance_power": self.tweedie_power} if self.objective == "tweedie" else {})


def fit_mean(sample: Sample, recipe: Recipe, rising: Mapping[str, int] | None = None) -> FittedTrees:
    """One booster of the scaled mean. Returns above sales count as no demand.

    `rising` binds features: with 1 the mean may only rise with one, with -1 only fall.
    """
    settings = recipe.settings(len(sample))
    if rising is not None:
        settings["monotone_constraints"] = tuple(rising.get(name, 0) for name in sample.names)
    label = np.clip(sample.target / sample.scale, 0.0, FAR)
    if not label.any():
        settings["base_score"] = NO_SALE  # the default is the labels' mean, whose logarithm does not exist here
    weight = np.minimum(sample.scale, HUGE * np.median(sample.scale)) ** recipe.weight_power
    data = _binned(sample.x, label, weight / weight.mean(), recipe)
    return FittedTrees(xgboost.train(settings, data, recipe.rounds), sample.names)


def fit_quantiles(sample: Sample, recipe: Recipe) -> FittedQuantiles:
    """One booster with the pinball loss at every level (Koenker & Bassett 1978), each series counting alike.

    The targets may be the errors of a mean, and the scale their unit.
    """
    data = _binned(sample.x, sample.target / sample.scale, None, recipe)
    shared = {name: value for name, value in recipe.settings(len(sample)).items() if name != "tweedie_variance_power"}
    settings = shared | {"objective": "reg:quantileerror", "quantile_alpha": np.array(LEVELS)}
    return FittedQuantiles(xgboost.train(settings, data, recipe.rounds), sample.names)


def _binned(x: Matrix, label: Floats, weight: Floats | None, recipe: Recipe) -> Any:
    """The rows as XGBoost trains on them. Where bins end is said well enough by some of many rows, in a third of the time."""
    shared = {"max_bin": recipe.bins, "nthread": 1}
    edges = None
    if len(x) > 2 * EDGE_ROWS:
        # drawn, not every n-th: leads come in turns, and some would never be seen
        some = np.random.default_rng(recipe.seed).choice(len(x), EDGE_ROWS, replace=False)
        edges = xgboost.QuantileDMatrix(x[np.sort(some)], **shared)
    return xgboost.QuantileDMatrix(x, label=label, weight=weight, ref=edges, **shared)
