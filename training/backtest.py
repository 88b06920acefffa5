"""Rolling-origin backtest: every candidate learns what was known at each origin and is judged on the same rows after it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from contracts.errors import DataGateError
from training.frame import Frame
from training.metrics import Scores, measure, squared_scales, wape
from training.models.base import SEASONAL_NAIVE, Candidate
from training.quantiles import horizon_group
from training.rows import Flags, Forecast, Rows
from training.split import history_at

GROUP_NAMES = ("today", "week_1", "week_2")  # of training.quantiles.GROUP_STARTS
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """One candidate: its forecast of every judged row, and how it did, by origin and over all of them."""

    candidate: Candidate
    forecast: Forecast
    by_origin: dict[int, Scores]
    overall: Scores
    wape_by_group: dict[str, float]
    notes: dict[str, float]


@dataclass(frozen=True, slots=True)
class Backtest:
    """All candidates on the same judged rows, which are ordered by origin."""

    rows: Rows
    results: dict[str, Result]

    @property
    def naive(self) -> Result:
        """The seasonal naive that everything is held against."""
        return self.results[SEASONAL_NAIVE]

    def challenger(self) -> Result:
        """The smallest pinball loss over all origins, since orders are placed by quantiles; ties go to the first candidate.

        The baseline itself is chosen only where nothing else took part: that nothing beats it is for the gate to say.
        """
        others = [result for name, result in self.results.items() if name != SEASONAL_NAIVE]
        return min(others or [self.naive], key=lambda result: result.overall.pinball)


def backtest(frame: Frame, candidates: Sequence[Candidate], progress: Progress = lambda _: None) -> Backtest:
    """Fits every candidate at every origin of the frame's plan. `candidates` must include the seasonal naive.

    Raises DataGateError where an origin has nothing to judge or to learn from.
    """
    rows = Rows.concatenate([_judged_at(frame, origin) for origin in frame.plan.origins])
    results = {candidate.name: _run(candidate, frame, rows, progress) for candidate in candidates}
    return Backtest(rows, results)


def scores_on(result: Result, rows: Rows, mask: Flags) -> Scores:
    """How a candidate did on some of the judged rows; RMSSE needs a history and is left out."""
    return measure(rows.where(mask), Forecast(result.forecast.mean[mask], result.forecast.quantiles[mask]), {})


def _judged_at(frame: Frame, origin: int) -> Rows:
    rows = frame.judged.where((frame.judged.as_of_day == origin) & (frame.judged.target_day < origin + frame.plan.horizon))
    if not len(rows):
        raise DataGateError(
            "A backtest origin has nothing to be judged on",
            doing="backtesting",
            why="no series on sale has known demand after it",
        )
    return rows


def _run(candidate: Candidate, frame: Frame, rows: Rows, progress: Progress) -> Result:
    forecasts: list[Forecast] = []
    by_origin: dict[int, Scores] = {}
    notes: dict[str, float] = {}
    for origin in frame.plan.origins:
        progress(f"{candidate.name}, origin {len(by_origin) + 1} of {len(frame.plan.origins)}")
        history = history_at(frame.sampled, frame.daily, origin)
        if not len(history.rows):
            raise DataGateError(
                "A backtest origin has nothing to learn from", doing="backtesting", why="no sampled row lies before it"
            )
        fitted = candidate.fit(history)
        judged = rows.where(rows.as_of_day == origin)
        forecasts.append(fitted.predict(judged))
        by_origin[origin] = measure(judged, forecasts[-1], squared_scales(history.daily))
        notes = fitted.notes()
    whole = Forecast(np.concatenate([part.mean for part in forecasts]), np.concatenate([part.quantiles for part in forecasts]))
    overall = replace(measure(rows, whole, {}), rmsse=float(np.mean([scores.rmsse for scores in by_origin.values()])))
    return Result(candidate, whole, by_origin, overall, _by_group(rows, whole), notes)


def _by_group(rows: Rows, forecast: Forecast) -> dict[str, float]:
    groups = horizon_group(rows.column("days_ahead"))
    masks = [(name, groups == at) for at, name in enumerate(GROUP_NAMES)]
    return {name: wape(rows.target[mask], forecast.mean[mask]) for name, mask in masks if mask.any()}
