"""The forecast of a panel from one origin: candidates, the blend chosen on past origins, quantiles calibrated on the same.

The past origins end where the origin's history ends: windows of one horizon each, forecast by candidates that learnt from nothing
in them. They choose the blend and calibrate the quantiles; then the candidates learn from everything and forecast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from contracts.errors import DataGateError
from training.panels import lesson, spread
from training.panels.beside import workers
from training.panels.candidates.base import Made, PanelCandidate, Task
from training.panels.candidates.fitted import FittedQuantiles, FittedTrees
from training.panels.candidates.fitting import Recipe, fit_quantiles
from training.panels.candidates.rows import TrainingRows
from training.panels.closings import closings
from training.panels.features import FeatureMaker
from training.panels.forecasts import PanelForecast
from training.panels.lesson import Lesson, Now
from training.panels.panel import Panel
from training.panels.past import Make, Past, Progress, filled, learners_first, look_back, past_origins
from training.panels.portfolio import quantile_recipe
from training.rows import Floats, Ints

PAST = 3


def compute(candidate: PanelCandidate, maker: FeatureMaker, task: Task) -> Made:
    """What the candidate makes of it now; a backtest puts a store of earlier ones in its place."""
    return candidate.make(maker, task)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to forecast. The first candidate is the default; the moving average fills what another leaves open.

    All candidates are looked back on. With `compare` all forecast too, else the default and those of which the forecast is made.
    No result depends on `threads`.
    """

    candidates: Sequence[PanelCandidate]
    quantiles: Recipe | None = field(default_factory=quantile_recipe)
    compare: bool = False
    past: int = PAST
    threads: int = 1
    make: Make = compute
    progress: Progress = field(default=lambda _: None)


@dataclass(frozen=True, slots=True)
class Result:
    """The chosen forecast, and the `means` of candidates [series, lead], in units, of which it was made or which were compared.

    `lesson` says why; None, as is `past`, where there was no past to choose on. `trees` are those of the forecast, by candidate.
    `segment` is each series' class of volume × intermittency.
    """

    chosen: PanelForecast
    now: Now
    means: Mapping[str, Floats]
    default: str
    lesson: Lesson | None
    past: Past | None
    trees: dict[str, FittedTrees]
    segment: Ints
    deviations: Mapping[str, float]  # of the planned signals
    uncovered: dict[str, int]  # series that a candidate had nothing to say of

    def by_candidate(self) -> dict[str, PanelForecast]:
        """Each candidate on its own, with quantiles by size; without a past, with a spread of the series' own."""
        return {name: _alone(self.past, self.now, name, mean) for name, mean in self.means.items()}


def forecast(panel: Panel, origin: int, horizon: int, plan: Plan) -> Result:
    """All series from the last period of history on. Raises DataGateError where nothing is known up to the origin."""
    maker = FeatureMaker(view_from(panel, origin, horizon))
    windows = past_origins(panel.dataset.freq, origin, horizon, plan.past)
    rows = TrainingRows(maker, origin, horizon, plan.threads)
    now = Now(maker, origin, horizon)
    today = Task(origin, (origin,), horizon, rows=rows)
    default = plan.candidates[0].name
    with workers(plan.threads) as pool:
        # what takes longest begins first; nothing of it needs what another finds
        surely = plan.candidates if plan.compare else plan.candidates[:1]
        begun = {one.name: pool.submit(plan.make, one, maker, today) for one in learners_first(surely)}
        trees = pool.submit(_quantiles, rows, windows[0], plan.quantiles) if windows and plan.quantiles else None
        past = look_back(plan.candidates, maker, windows, rows, plan.make, pool, plan.progress) if windows else None
        if past is not None and not past.known.any():
            past = None
        plan.progress("the blend and its quantiles")
        learnt = None if past is None else lesson.learn(past, now, default, trees.result() if trees else None)
        needed = {default} | lesson.used(learnt, default)
        made = {}
        for candidate in (one for one in plan.candidates if plan.compare or one.name in needed):
            name = candidate.name
            plan.progress(name)
            made[name] = begun[name].result() if name in begun else plan.make(candidate, maker, today)
    raw = {name: parts.means[0] for name, parts in made.items()}
    means = filled(raw, maker.scale(origin))
    return Result(
        chosen=lesson.chosen_by(learnt, now, means, default),
        now=now,
        means=means,
        default=default,
        lesson=learnt,
        past=past,
        trees={name: parts.trees for name, parts in made.items() if parts.trees is not None},
        segment=now.segment(now.volume_edges()),
        deviations=maker.plan.deviations,
        uncovered={name: int(np.isnan(mean).any(axis=1).sum()) for name, mean in raw.items()},
    )


def _quantiles(rows: TrainingRows, earliest: int, recipe: Recipe) -> FittedQuantiles | None:
    """Trees that have seen none of the past origins, of which `earliest` is the first; None without training rows."""
    sample = rows.until(earliest, recipe)
    return None if sample is None else fit_quantiles(sample, recipe)


def view_from(panel: Panel, origin: int, horizon: int) -> Panel:
    """What an origin may read. Raises DataGateError where nothing is known up to it."""
    view = panel.at(origin, horizon) if origin >= 0 else panel
    if origin < 0 or not np.isfinite(view.units).any():
        raise DataGateError(
            f"Nothing is known up to {panel.date_of(origin)}",
            doing="forecasting a panel",
            why="no series has a known value by then",
            hint="Give a later --origin.",
        )
    # what is not known of a single planned period would be learnt from and then be missing: trees read that as they like
    planned = {name: values for name, values in view.known.items() if np.isfinite(values[:, origin + 1 :]).any()}
    return replace(view, known=planned, shut=closings(view, origin, horizon))


def _alone(past: Past | None, now: Now, name: str, mean: Floats) -> PanelForecast:
    if past is None:
        return now.finished(mean, lesson.normal(mean, now.deviation(mean)))
    offsets = lesson.by_size_of(past, past.means[name])
    return now.finished(mean, offsets.add(mean, now.scale, spread.constant(mean)))
