"""The forecast of a panel from one origin: candidates, the blend chosen on past origins, quantiles calibrated on the same.

The past origins end where the origin's history ends: `PAST` windows of one horizon each, forecast by candidates that learnt from
nothing in them. They choose the blend and calibrate the quantiles; then the candidates learn from everything and forecast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataGateError
from training.panels import choice, spread
from training.panels.candidates.base import PanelCandidate, Task
from training.panels.candidates.boosted import FittedQuantiles, Recipe, fit_quantiles
from training.panels.candidates.naive import MOVING_AVERAGE
from training.panels.features import FeatureMaker
from training.panels.forecasts import PanelForecast, tidy
from training.panels.panel import Panel
from training.panels.sample import FIRST, draw
from training.panels.scores import scales
from training.rows import LEVELS, Floats

PAST = 3
CHOSEN = "chosen"
BLEND_SEGMENTS = 6  # of the last calibration: it only straightens what two ways of making quantiles left
QUANTILE_RECIPE = Recipe(rounds=50, depth=5, eta=0.15, columns=0.5, bins=64, rows=80_000)
Progress = Callable[[str], None]
Means = Callable[[PanelCandidate, FeatureMaker, Task], list[Floats]]


def compute(candidate: PanelCandidate, maker: FeatureMaker, task: Task) -> list[Floats]:
    """The candidate's means, made now; a backtest puts a store of earlier ones in its place."""
    return candidate.means(maker, task)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to forecast. The first candidate is the default; the moving average fills what another leaves open."""

    candidates: Sequence[PanelCandidate]
    quantiles: Recipe | None = QUANTILE_RECIPE
    past: int = PAST
    means: Means = compute
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Result:
    """Forecasts by candidate, and the chosen one; `choice` says why, None where there was no past to choose on."""

    chosen: PanelForecast
    by_candidate: dict[str, PanelForecast]
    choice: choice.Choice | None
    uncovered: dict[str, int]  # series that a candidate had nothing to say of


def forecast(panel: Panel, origin: int, horizon: int, plan: Plan) -> Result:
    """All series from the last period of history on. Raises DataGateError where nothing is known up to the origin."""
    view = panel.at(origin, horizon)
    if origin < 0 or not np.isfinite(view.units).any():
        raise DataGateError(
            f"Nothing is known up to {panel.date_of(origin)}",
            doing="forecasting a panel",
            why="no series has a known value by then",
            hint="Give a later --origin.",
        )
    maker = FeatureMaker(view)
    windows = past_origins(panel.dataset.freq, origin, horizon, plan.past)
    past = _past_means(plan, maker, windows, horizon)
    plan.progress(f"forecasts from {panel.date_of(origin)}")
    raw = {c.name: plan.means(c, maker, Task(origin, (origin,), horizon))[0] for c in plan.candidates}
    uncovered = {name: int(np.isnan(mean).any(axis=1).sum()) for name, mean in raw.items()}
    means = filled(raw, maker, origin)
    if not windows:
        return _without_past(maker, origin, means, uncovered, plan)
    return _calibrated(plan, maker, windows, past, origin, means, uncovered)


def past_origins(freq: str, origin: int, horizon: int, number: int) -> tuple[int, ...]:
    """Up to `number` origins, a horizon apart, that end with the origin; there is some history before the earliest."""
    candidates = (origin - horizon * back for back in range(1, number + 1))
    return tuple(sorted(past for past in candidates if past >= FIRST[freq] // 2 + horizon))


def filled(means: Mapping[str, Floats], maker: FeatureMaker, origin: int) -> dict[str, Floats]:
    """What a candidate left open is the moving average; of series without any history, the level of their groups."""
    fallback = means.get(MOVING_AVERAGE, np.full((maker.panel.series, 1), np.nan))
    fallback = np.where(np.isnan(fallback), maker.scale(origin)[:, None], fallback)
    return {name: np.where(np.isnan(mean), fallback, mean) for name, mean in means.items()}


def _past_means(plan: Plan, maker: FeatureMaker, windows: tuple[int, ...], horizon: int) -> dict[str, Floats]:
    """Candidate -> [origin, series, lead], learnt from what came before all windows."""
    past: dict[str, Floats] = {}
    if not windows:
        return past
    task = Task(windows[0], windows, horizon)
    raw = {}
    for candidate in plan.candidates:
        plan.progress(f"{candidate.name} on {len(windows)} past origins")
        raw[candidate.name] = plan.means(candidate, maker, task)
    for at, window in enumerate(windows):
        for name, mean in filled({name: means[at] for name, means in raw.items()}, maker, window).items():
            past.setdefault(name, np.empty((len(windows), *mean.shape)))[at] = mean
    return past


def _calibrated(
    plan: Plan,
    maker: FeatureMaker,
    windows: tuple[int, ...],
    past: dict[str, Floats],
    origin: int,
    means: dict[str, Floats],
    uncovered: dict[str, int],
) -> Result:
    horizon = means[plan.candidates[0].name].shape[1]
    truth = np.stack([maker.demand[:, window + 1 : window + 1 + horizon] for window in windows])
    segment = choice.segments_of(maker.scale(origin), maker.sold.mean(origin, maker.rhythm.long))
    squared, _ = scales(maker.panel.units[:, : windows[0] + 1])
    made = choice.choose(choice.Seen(truth, past, squared, segment), plan.candidates[0].name)
    past[CHOSEN] = np.stack([made.apply({name: m[at] for name, m in past.items()}, segment) for at in range(len(windows))])
    means[CHOSEN] = made.apply(means, segment)
    scale = np.stack([maker.scale(window) for window in windows])
    known = ~np.isnan(truth)
    wide = np.broadcast_to(scale[:, :, None], truth.shape)
    by_candidate = {}
    for name, mean in means.items():
        seen = spread.Seen(truth[known], past[name][known], wide[known])
        offsets = spread.learn(seen, spread.constant(seen.mean))
        quantiles = offsets.add(mean, np.broadcast_to(maker.scale(origin)[:, None], mean.shape), spread.constant(mean))
        if name == CHOSEN and plan.quantiles is not None:
            plan.progress("quantiles")
            start = offsets.add(past[name], wide, spread.constant(past[name]))
            quantiles = _with_trees(plan.quantiles, maker, windows, origin, seen, start, known, mean, quantiles)
        by_candidate[name] = _closed(tidy(mean, quantiles), maker, origin)
    return Result(by_candidate.pop(CHOSEN), by_candidate, made, uncovered)


def _with_trees(
    recipe: Recipe,
    maker: FeatureMaker,
    windows: tuple[int, ...],
    origin: int,
    seen: spread.Seen,
    start: NDArray[np.float64],
    known: NDArray[np.bool_],
    mean: Floats,
    quantiles: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The mean of both kinds of quantiles, corrected on the past origins, which neither kind of trees had seen."""
    horizon = mean.shape[1]
    sample = draw(maker, windows[0], horizon, recipe.rows, recipe.seed)
    if sample is None:
        return quantiles
    fitted: FittedQuantiles = fit_quantiles(sample, recipe)
    past = np.stack([fitted.quantiles(maker.block(window, horizon)) for window in windows])
    offsets = spread.learn(seen, ((start + past) / 2)[known], BLEND_SEGMENTS)
    both = (quantiles + fitted.quantiles(maker.block(origin, horizon))) / 2
    return offsets.add(mean, np.broadcast_to(maker.scale(origin)[:, None], mean.shape), both)


def _without_past(maker: FeatureMaker, origin: int, means: dict[str, Floats], uncovered: dict[str, int], plan: Plan) -> Result:
    """Too little history to choose or calibrate on: the default's mean, with the quantiles of a Poisson count of that size."""
    made = {name: _closed(tidy(mean, poisson(mean)), maker, origin) for name, mean in means.items()}
    return Result(made[plan.candidates[0].name], made, None, uncovered)


def poisson(mean: Floats) -> NDArray[np.float64]:
    """[..., level]: quantiles of a normal with the mean's root as its deviation, which a large count is close to."""
    z = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    known = np.maximum(mean, 0.0)[..., None]
    out: NDArray[np.float64] = known + np.sqrt(known) * z
    return out


def _closed(made: PanelForecast, maker: FeatureMaker, origin: int) -> PanelForecast:
    shut = maker.closed(origin, made.mean.shape[1])
    return PanelForecast(np.where(shut, 0.0, made.mean), np.where(shut[:, :, None], 0.0, made.quantiles))
