"""The rows that all fits of one forecast learn from."""

from __future__ import annotations

from threading import Lock

from training.panels.candidates.fitting import Recipe
from training.panels.features import FeatureMaker
from training.panels.sample import LATEST, MAX_ROWS, STEP, Drawn, Sample, draw

ENOUGH = 0.5  # of the rows that a fit asks for


class TrainingRows:
    """What all fits of a forecast learn from, drawn once: a fit for a past origin takes the rows that were known by then.

    They are made when the first fit asks for them, since what was kept of an earlier run may need none. Where hardly any were
    known by then, as with a short history, the fit has rows of its own; and where most of the latest were not, as with a long
    horizon: of those that are left many lie around the season that is forecast now, and none around the one forecast then.
    """

    def __init__(self, maker: FeatureMaker, origin: int, horizon: int, threads: int = 1) -> None:
        self.horizon = horizon
        self._maker, self._origin, self._threads = maker, origin, threads
        self._drawn: dict[int, Drawn | None] = {}  # by seed
        self._drawing = Lock()  # fits ask beside each other

    def until(self, column: int, recipe: Recipe, share: float = 1.0) -> Sample | None:
        """At most that share of the recipe's rows, whose targets lie up to a column; None where there are none."""
        seed, limit = recipe.seed, int(recipe.rows * share)
        with self._drawing:
            if seed not in self._drawn:
                self._drawn[seed] = draw(self._maker, self._origin, self.horizon, MAX_ROWS, seed, self._threads)
            drawn = self._drawn[seed]
        if column < self._origin and (self._too_late(column) or drawn is None or drawn.known(column) < limit * ENOUGH):
            drawn = draw(self._maker, column, self.horizon, limit, seed)
        return None if drawn is None else drawn.until(column, limit, seed)

    def _too_late(self, column: int) -> bool:
        """Whether most of the latest origins lie after that column."""
        return self._origin - column > LATEST * STEP[self._maker.rhythm.freq] / 2
