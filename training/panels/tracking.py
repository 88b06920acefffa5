"""What a panel's backtest or forecast says, in the shapes of MLflow's runs, and how its model describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.panels import choice, lesson, spread
from training.panels.backtest import ALL, CHOSEN, Backtest, explained
from training.panels.engine import Plan, Result
from training.panels.forecasts import QUANTILES
from training.panels.model import PanelModel
from training.panels.panel import Panel
from training.panels.report import page
from training.panels.slices import wape
from training.registry import Run
from training.rows import LEVELS, Flags, Floats

FIGURES = ("wape", "bias", "rmsse", "wrmsse", "spl", "crossing")
BY_SEGMENT = ("wape", "bias", "rmsse", "spl")
EXAMPLE_SERIES, EXAMPLE_PERIODS = 2, 3


@dataclass(frozen=True, slots=True)
class Tracked:
    """A run, one for each candidate, and files: texts as they are, all else as JSON."""

    run: Run
    candidates: list[Run]
    files: dict[str, Any]


def of_backtest(panel: Panel, done: Backtest, plan: Plan, model: PanelModel) -> Tracked:
    """Figures of the chosen forecast and of each candidate: over all origins, by origin and by segment."""
    runs = {name: _judged(done, name) for name in done.parts[ALL]}
    chosen = runs.pop(CHOSEN)
    params = knobs(panel, plan, model.facts.horizon) | {"origins": ",".join(map(str, done.origins))}
    metrics = dict(chosen.metrics) | {"seconds": sum(done.seconds.values())}
    files = {"backtest.json": done.as_json(), "report.html": page(panel, done), "features.json": features(model)}
    run = Run(f"backtest {panel.dataset.name} {done.origins[-1]}", params, metrics, chosen.by_origin)
    return Tracked(run, _with_params(runs, plan), files)


def of_forecast(panel: Panel, made: Result, plan: Plan, model: PanelModel) -> Tracked:
    """Figures on the past origins, on which the blend was chosen: what comes after the origin is not known."""
    runs = {} if made.past is None else {name: _on_past(made, name, means) for name, means in made.past.means.items()}
    chosen = Run(CHOSEN, {}, {}, {})
    if made.past is not None and made.lesson is not None:
        by_origin = [{name: means[at] for name, means in made.past.means.items()} for at in range(len(made.past.origins))]
        chosen = _on_past(made, CHOSEN, np.stack([made.lesson.choice.apply(means, made.segment) for means in by_origin]))
    params = knobs(panel, plan, model.facts.horizon) | {"origins": str(model.facts.origin)}
    files = {"choice.json": explained(made), "features.json": features(model)}
    run = Run(f"forecast {panel.dataset.name} {model.facts.origin}", params, chosen.metrics, chosen.by_origin)
    return Tracked(run, _with_params(runs, plan), files)


def knobs(panel: Panel, plan: Plan, horizon: int) -> dict[str, Any]:
    """All that decides a forecast beside the data: MLflow parameter -> value."""
    facts = {"dataset": panel.dataset.name, "freq": panel.dataset.freq, "season_length": panel.dataset.season_length}
    told = {f"{candidate.name}.{key}": value for candidate in plan.candidates for key, value in candidate.params().items()}
    recipe = {} if plan.quantiles is None else asdict(plan.quantiles)
    return {
        **facts,
        "horizon": horizon,
        "series": panel.series,
        "candidates": ",".join(candidate.name for candidate in plan.candidates),
        "past_origins": plan.past,
        **told,
        **{f"quantiles.{key}": value for key, value in recipe.items()},
        "choice.margin": choice.MARGIN,
        "choice.segment_margin": choice.SEGMENT_MARGIN,
        "choice.min_rows": choice.MIN_ROWS,
        "choice.min_series": choice.MIN_SERIES,
        "choice.intermittent": choice.INTERMITTENT,
        "choice.pull": choice.PULL,
        "choice.pull_margin": choice.PULL_MARGIN,
        "choice.bias_price": choice.BIAS_PRICE,
        "spread.segments": spread.MAX_SEGMENTS,
        "spread.segment_rows": spread.SEGMENT_ROWS,
        "spread.floor": spread.FLOOR,
        "spread.last_segments": lesson.LAST_SEGMENTS,
        "levels": ",".join(f"{level:g}" for level in LEVELS),
    }


def features(model: PanelModel) -> dict[str, Any]:
    """The features in the boosters' order, their fingerprint, and each booster's shares of its total gain."""
    return {
        "features": model.facts.features,
        "fingerprint": model.facts.features_fingerprint,
        "share_of_total_gain": {name: trees.importance() for name, trees in model.trees.items()},
    }


def tags(model: PanelModel, candidate: str) -> dict[str, str]:
    """Of the run and of the version."""
    return {
        "candidate": candidate,
        "trained_through": model.facts.origin.isoformat(),
        "data_fingerprint": model.facts.data_fingerprint,
        "features_fingerprint": model.facts.features_fingerprint,
    }


def columns_read(panel: Panel) -> dict[str, str]:
    """Column of panel.parquet -> MLflow's name of its type."""
    numbers = ["units", *_optional(panel), *sorted(panel.known)]
    return {"date": "datetime", "store_id": "string", "product_id": "string", **dict.fromkeys(numbers, "double")}


def columns_written() -> dict[str, str]:
    """Column of the forecast's file -> MLflow's name of its type."""
    keys = {"origin": "datetime", "date": "datetime", "store_id": "string", "product_id": "string"}
    return keys | dict.fromkeys(("mean", *QUANTILES), "double")


def example(panel: Panel, origin: int) -> dict[str, list[Any]]:
    """The last rows of the first series' history, as columns of panel.parquet; null is unknown."""
    some = range(min(EXAMPLE_SERIES, panel.series))
    at = [(series, column) for series in some for column in range(max(0, origin + 1 - EXAMPLE_PERIODS), origin + 1)]
    matrices: dict[str, Floats] = {"units": panel.units, **_optional(panel), **dict(sorted(panel.known.items()))}
    return {
        "date": [panel.date_of(column).isoformat() for _, column in at],
        "store_id": [str(panel.stores[series]) for series, _ in at],
        "product_id": [str(panel.products[series]) for series, _ in at],
        **{name: [_known(matrix[series, column]) for series, column in at] for name, matrix in matrices.items()},
    }


def _judged(done: Backtest, name: str) -> Run:
    metrics: dict[str, float] = {}
    for scope in done.parts:
        prefix = "" if scope == ALL else f"{scope.replace(' ', '_')}_"
        metrics |= {f"{prefix}{figure}": value for figure, value in _figures(done.scores(scope)[name]).items()}
    for segment, scores in done.segment_scores().items():
        found = _figures(scores[name])
        metrics |= {f"{figure}_{segment}": found[figure] for figure in (*BY_SEGMENT, "rows") if figure in found}
    each = [_figures(done.scores(origins=[origin])[name]) for origin in done.origins]
    by_origin = {f"{f}_by_origin": [figures[f] for figures in each] for f in FIGURES if all(f in figures for figures in each)}
    return Run(name, {"candidate": name}, metrics, by_origin)


def _on_past(made: Result, name: str, means: Floats) -> Run:
    """`means` is [past origin, series, lead]."""
    assert made.past is not None
    truth = made.past.truth
    metrics = _past_figures("", truth, means, np.ones(truth.shape[1], dtype=np.bool_))
    for number, segment in enumerate(choice.segment_names()):
        metrics |= _past_figures(f"_{segment}", truth, means, made.segment == number)
    errors = [wape(true, mean) for true, mean in zip(truth, means, strict=True)]
    return Run(name, {"candidate": name}, metrics, {"past_wape_by_origin": errors} if np.isfinite(errors).all() else {})


def _past_figures(suffix: str, truth: Floats, means: Floats, members: Flags) -> dict[str, float]:
    true, mean = truth[:, members], means[:, members]
    known = np.isfinite(true)
    demand = float(true[known].sum())
    found = {"past_wape": wape(true, mean), "past_bias": float((mean - true)[known].sum()) / demand if demand else float("nan")}
    return {f"{figure}{suffix}": value for figure, value in found.items() if np.isfinite(value)}


def _figures(scores: Mapping[str, Any]) -> dict[str, float]:
    """Those that have a meaning."""
    coverage = {f"coverage_{level}": share for level, share in scores["coverage"].items()}
    plain = {**{figure: scores[figure] for figure in FIGURES}, "rows": scores["rows"], **coverage}
    return {name: float(value) for name, value in plain.items() if value is not None}


def _with_params(runs: Mapping[str, Run], plan: Plan) -> list[Run]:
    told = {candidate.name: candidate.params() for candidate in plan.candidates}
    return [Run(name, {"candidate": name, **told[name]}, run.metrics, run.by_origin) for name, run in runs.items()]


def _optional(panel: Panel) -> dict[str, Floats]:
    given = {"in_stock": panel.in_stock, "price_cents": panel.price, "base_price_cents": panel.base_price}
    return {name: matrix for name, matrix in given.items() if matrix is not None}


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
