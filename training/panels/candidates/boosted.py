"""Gradient-boosted trees over all series, direct over the horizon: the lead is a feature, so no forecast feeds another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from training.panels.candidates.base import Made, Task, closed_is_zero
from training.panels.candidates.fitted import FittedTrees
from training.panels.candidates.fitting import Recipe, fit_mean
from training.panels.features import FeatureMaker
from training.panels.newcomers import as_others, newcomers
from training.rows import Floats

XGBOOST = "xgboost"


@dataclass(frozen=True, slots=True)
class GlobalTrees:
    """The candidate."""

    recipe: Recipe = field(default_factory=Recipe)
    name: str = XGBOOST
    pooled: bool = True

    def params(self) -> dict[str, Any]:
        """Every hyperparameter that the result depends on."""
        return asdict(self.recipe)

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Learns from rows whose targets lie up to `trained_to`; NaN where there are none."""
        sample = task.sample(maker, self.recipe)
        if sample is None:
            return Made([np.full((len(task.members(maker.panel)), task.horizon), np.nan) for _ in task.origins])
        fitted = fit_mean(sample, self.recipe)
        return Made([said(fitted, maker, origin, task) for origin in task.origins], fitted)


def said(fitted: FittedTrees, maker: FeatureMaker, origin: int, task: Task) -> Floats:
    """[asked series, lead], in units: what the trees say at an origin, and 0 where the store is known to be closed.

    Of series that they cannot know they say nothing: these go the way of the others.
    """
    asked = task.members(maker.panel)
    out = np.empty((len(asked), task.horizon))
    for part, block in maker.parts(origin, task.horizon, asked):
        out[part] = fitted.mean(block).reshape(-1, task.horizon)
    new = newcomers(maker, origin, asked)
    if new.any():
        out = as_others(out, maker.scale(origin)[asked], new)
    return closed_is_zero(maker, origin, asked, out)
