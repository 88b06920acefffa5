"""What a candidate of the panel engine is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from training.panels.candidates.fitted import FittedTrees
from training.panels.candidates.fitting import Recipe
from training.panels.candidates.rows import TrainingRows
from training.panels.features import FeatureMaker
from training.panels.panel import Panel
from training.panels.sample import Sample
from training.rows import Floats, Ints


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked: `horizon` periods after each of the `origins` (columns).

    What is learnt over all series is learnt from columns up to `trained_to` alone, which no origin is before. `series` are
    those asked for, ascending; None: all. `rows_share` is of the training rows that a candidate takes at most. `rows` are those
    that all fits of a forecast share; None: of this task's own.
    """

    trained_to: int
    origins: tuple[int, ...]
    horizon: int
    series: Ints | None = None
    rows_share: float = 1.0
    rows: TrainingRows | None = None

    def members(self, panel: Panel) -> Ints:
        """The series asked for."""
        return np.arange(panel.series) if self.series is None else self.series

    def sample(self, maker: FeatureMaker, recipe: Recipe) -> Sample | None:
        """What a fit by the recipe may learn from; None where there is nothing."""
        own = TrainingRows(maker, self.trained_to, self.horizon)
        return (self.rows or own).until(self.trained_to, recipe, self.rows_share)


@dataclass(frozen=True, slots=True)
class Made:
    """`means` is [asked series, lead] per origin, in units, NaN where the candidate has nothing to say of a series.

    `trees` are those that the means came from, where it learnt over all series.
    """

    means: list[Floats]
    trees: FittedTrees | None = None


class PanelCandidate(Protocol):
    """A recipe for means. The same panel, the same task and the same seed give the same means."""

    @property
    def name(self) -> str:
        """Its name in reports."""
        ...

    @property
    def pooled(self) -> bool:
        """Whether it learns over all series; else its forecast from an origin depends on what was known at that origin alone."""
        ...

    def params(self) -> dict[str, Any]:
        """What it was told: a stored forecast is of the same recipe only where these are equal."""
        ...

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Its means at each origin of the task."""
        ...


def by_origin(maker: FeatureMaker, task: Task, means: Callable[[int, Ints], Floats]) -> Made:
    """What `means` says of an origin and the series asked for, [series, lead], where nothing is learnt over all of them."""
    asked = task.members(maker.panel)
    return Made([closed_is_zero(maker, origin, asked, means(origin, asked)) for origin in task.origins])


def closed_is_zero(maker: FeatureMaker, origin: int, series: Ints, mean: Floats) -> Floats:
    """Nothing is sold in a period known to be closed; the means [series, lead] are of those series."""
    return np.where(maker.closed(origin, mean.shape[1])[series], 0.0, mean)
