"""The forecast of a panel from one origin: candidates, the blend chosen on past origins, quantiles calibrated on the same.

The past origins end where the origin's history ends: windows of one horizon each, forecast by candidates that learnt from nothing
in them. They choose the blend and calibrate the quantiles; then the candidates learn from everything and forecast.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from contracts.errors import DataGateError
from training.panels import choice, spread
from training.panels.candidates.base import PanelCandidate, Task
from training.panels.candidates.boosted import Recipe, fit_quantiles
from training.panels.features import FeatureMaker
from training.panels.forecasts import PanelForecast, tidy
from training.panels.panel import Panel
from training.panels.past import Means, Past, Progress, filled, look_back, past_origins
from training.panels.sample import draw
from training.rows import LEVELS, Floats

PAST = 3
MEDIAN = LEVELS.index(0.5)
LAST_SEGMENTS = 6  # of the last correction: it only straightens what two ways of making quantiles left
QUANTILE_RECIPE = Recipe(rounds=30, depth=4, eta=0.25, columns=0.5, bins=64, rows=80_000)
Quantiles = NDArray[np.float64]


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
    pulled: float  # share of the way from the mean to the median
    uncovered: dict[str, int]  # series that a candidate had nothing to say of


@dataclass(frozen=True, slots=True)
class Now:
    """The origin that is forecast: the candidates' means [series, lead] and the series' scale, in units."""

    maker: FeatureMaker
    origin: int
    horizon: int
    means: dict[str, Floats]

    @property
    def scale(self) -> Floats:
        """[series, lead]."""
        return np.broadcast_to(self.maker.scale(self.origin)[:, None], (self.maker.panel.series, self.horizon))

    def finished(self, mean: Floats, quantiles: Quantiles) -> PanelForecast:
        """Tidy, and 0 where the store is known to be closed."""
        shut = self.maker.closed(self.origin, self.horizon)
        made = tidy(mean, quantiles)
        return PanelForecast(np.where(shut, 0.0, made.mean), np.where(shut[:, :, None], 0.0, made.quantiles))


def forecast(panel: Panel, origin: int, horizon: int, plan: Plan) -> Result:
    """All series from the last period of history on. Raises DataGateError where nothing is known up to the origin."""
    view = panel.at(origin, horizon) if origin >= 0 else panel
    if origin < 0 or not np.isfinite(view.units).any():
        raise DataGateError(
            f"Nothing is known up to {panel.date_of(origin)}",
            doing="forecasting a panel",
            why="no series has a known value by then",
            hint="Give a later --origin.",
        )
    maker = FeatureMaker(view)
    windows = past_origins(panel.dataset.freq, origin, horizon, plan.past)
    past = look_back(plan.candidates, maker, windows, horizon, plan.means, plan.progress) if windows else None
    raw = {}
    for candidate in plan.candidates:
        plan.progress(candidate.name)
        raw[candidate.name] = plan.means(candidate, maker, Task(origin, (origin,), horizon))[0]
    uncovered = {name: int(np.isnan(mean).any(axis=1).sum()) for name, mean in raw.items()}
    now = Now(maker, origin, horizon, filled(raw, maker, origin))
    default = plan.candidates[0].name
    if past is None or not past.known.any():
        made = {name: now.finished(mean, normal(mean)) for name, mean in now.means.items()}
        return Result(made[default], made, None, 0.0, uncovered)
    made = {name: now.finished(mean, _by_size(past, past.means[name], now, mean)[1]) for name, mean in now.means.items()}
    chosen, why, pull = _chosen(plan, past, now, default)
    return Result(chosen, made, why, pull, uncovered)


def _chosen(plan: Plan, past: Past, now: Now, default: str) -> tuple[PanelForecast, choice.Choice, float]:
    """The blend, its quantiles by size and by trees, and its point forecast pulled to the median where that pays."""
    share = now.maker.sold.mean(now.origin, now.maker.rhythm.long)
    segment = choice.segments_of(now.scale[:, 0], share)
    made = choice.choose(choice.Seen(past.truth, past.means, past.squared_scale, segment), default)
    then = np.stack([made.apply({n: m[at] for n, m in past.means.items()}, segment) for at in range(len(past.origins))])
    mean = made.apply(now.means, segment)
    past_quantiles, quantiles = _by_size(past, then, now, mean)
    if plan.quantiles is not None:
        plan.progress("quantiles")
        past_quantiles, quantiles = _with_trees(plan.quantiles, past, then, now, mean, (past_quantiles, quantiles))
    # where shelves run empty, a low mean orders less, sells less and so confirms itself: it must not be biased
    free = now.maker.panel.in_stock is None
    pull = choice.pulled(past.truth, then, past_quantiles[..., MEDIAN], past.squared_scale) if free else 0.0
    point = (1 - pull) * mean + pull * quantiles[..., MEDIAN]
    return now.finished(point, quantiles), made, pull


def _by_size(past: Past, then: Floats, now: Now, mean: Floats) -> tuple[Quantiles, Quantiles]:
    """Quantiles at the past origins and now, by how far demand fell from means of that size."""
    offsets = spread.learn(_seen(past, then), spread.constant(then[past.known]))
    return offsets.add(then, past.scale, spread.constant(then)), offsets.add(mean, now.scale, spread.constant(mean))


def _with_trees(
    recipe: Recipe, past: Past, then: Floats, now: Now, mean: Floats, by_size: tuple[Quantiles, Quantiles]
) -> tuple[Quantiles, Quantiles]:
    """The mean of both kinds of quantiles, corrected on the past origins, which neither the trees had seen."""
    sample = draw(now.maker, past.origins[0], now.horizon, recipe.rows, recipe.seed)
    if sample is None:
        return by_size
    trees = fit_quantiles(sample, recipe)
    before = np.stack([trees.quantiles(now.maker.block(origin, now.horizon)) for origin in past.origins])
    before = (by_size[0] + before) / 2
    both = (by_size[1] + trees.quantiles(now.maker.block(now.origin, now.horizon))) / 2
    offsets = spread.learn(_seen(past, then), before[past.known], LAST_SEGMENTS)
    return offsets.add(then, past.scale, before), offsets.add(mean, now.scale, both)


def _seen(past: Past, then: Floats) -> spread.Seen:
    return spread.Seen(past.truth[past.known], then[past.known], past.scale[past.known])


def normal(mean: Floats) -> Quantiles:
    """[..., level]: of a normal whose deviation is the mean's root, which a count of that mean is close to: a first guess."""
    z = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    known = np.maximum(mean, 0.0)[..., None]
    out: Quantiles = known + np.sqrt(known) * z
    return out
