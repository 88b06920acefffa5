"""What takes part by default: the candidates, of which the first is what a blend must beat, and the trees of the quantiles."""

from __future__ import annotations

from typing import Any

from training.panels.candidates.base import PanelCandidate
from training.panels.candidates.boosted import GlobalTrees
from training.panels.candidates.ets import AUTO_ETS, EtsPerSeries
from training.panels.candidates.fitting import Recipe
from training.panels.candidates.intermittent import SBA, TSB, Intermittent
from training.panels.candidates.naive import MOVING_AVERAGE, SEASONAL_NAIVE, MovingAverage, SeasonalNaive
from training.panels.candidates.routing import PROPHET

FOREST = 4  # trees of a round where rows are few: over thirteen panels of 12 to 98 series they saved 1.7 % of WAPE
ETS_SERIES, PROPHET_SERIES = 300, 50  # of the largest series; 0.02 to 0.2 s each and origin


def quick(seed: int = 7) -> list[PanelCandidate]:
    """What a forecast is made of in seconds."""
    return [
        GlobalTrees(Recipe(forest=FOREST, seed=seed)),
        SeasonalNaive(),
        MovingAverage(),
        Intermittent(SBA),
        Intermittent(TSB),
    ]


def every(seed: int = 7, ets_series: int | None = ETS_SERIES, prophet_series: int = PROPHET_SERIES) -> list[PanelCandidate]:
    """With the models of single series too: they are made for the largest series only, up to a limit; no series, no Prophet."""
    chosen = [*quick(seed), EtsPerSeries(ets_series)]
    if prophet_series:
        from training.panels.candidates.prophet import ProphetPerSeries  # Prophet takes seconds to import

        chosen.append(ProphetPerSeries(prophet_series, seed))
    return chosen


def quantile_recipe(seed: int = 7) -> Recipe:
    """Of the trees of the quantiles: one for each level and round, so fewer and smaller ones than of the mean."""
    return Recipe(rounds=20, depth=4, eta=0.35, columns=0.5, bins=64, rows=30_000, seed=seed)


def remade(name: str, params: dict[str, Any]) -> PanelCandidate | None:
    """A candidate of one series at a time, by what it was told when a model was kept; None for trees, which are kept."""
    if name == AUTO_ETS:
        return EtsPerSeries(params["max_series"])
    if name in (SBA, TSB):
        return Intermittent(name)
    if name == PROPHET:
        from training.panels.candidates.prophet import ProphetPerSeries  # Prophet takes seconds to import

        return ProphetPerSeries(**params)
    if name == SEASONAL_NAIVE:
        return SeasonalNaive()
    return MovingAverage() if name == MOVING_AVERAGE else None
