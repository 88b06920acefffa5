"""What a backtest says, in the shapes of MLflow's runs, of PostgreSQL's rows and of the command line's JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from training.backtest import Backtest, Result
from training.metrics import Scores
from training.registry import Run
from training.rows import LEVELS
from training.split import iso_day

_FIGURES = ("wape", "bias", "pinball", "rmsse")


def candidate_run(result: Result) -> Run:
    """The run of one candidate."""
    origins = list(result.by_origin.values())
    by_origin = {f"{figure}_by_origin": [getattr(scores, figure) for scores in origins] for figure in _FIGURES}
    return Run(
        name=result.candidate.name,
        params={"candidate": result.candidate.name, **result.candidate.params()},
        metrics=candidate_metrics(result),
        by_origin={name: values for name, values in by_origin.items() if all(map(math.isfinite, values))},
    )


def candidate_metrics(result: Result) -> dict[str, float]:
    """Figures over all origins, coverage of each level, WAPE by horizon group, and what the fit noted; NaN left out."""
    overall = result.overall
    figures = {
        **{figure: getattr(overall, figure) for figure in _FIGURES},
        "rows": float(overall.rows),
        "crossing": overall.crossing,
        **{f"coverage_{level:g}": share for level, share in overall.coverage.items()},
        **{f"wape_{group}": value for group, value in result.wape_by_group.items()},
        **result.notes,
    }
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def accuracy_rows(test: Backtest) -> list[dict[str, Any]]:
    """One row per candidate × origin."""
    return [
        {
            "candidate": name,
            "origin": iso_day(origin),
            "wape": _number(scores.wape),
            "bias": _number(scores.bias),
            "pinball": _number(scores.pinball),
            "rows": scores.rows,
        }
        for name, result in test.results.items()
        for origin, scores in result.by_origin.items()
    ]


def summary(test: Backtest) -> dict[str, Any]:
    """Candidate -> its figures over all origins, by origin and by horizon group."""
    return {name: _summary_of(result) for name, result in test.results.items()}


def _summary_of(result: Result) -> dict[str, Any]:
    return {
        **result.overall.as_json(),
        "by_origin": {iso_day(origin): _short(scores) for origin, scores in result.by_origin.items()},
        "wape_by_group": {group: _number(value) for group, value in result.wape_by_group.items()},
        "params": result.candidate.params(),
        "notes": result.notes,
    }


def _short(scores: Scores) -> Mapping[str, Any]:
    return {name: value for name, value in scores.as_json().items() if name in (*_FIGURES, "rows")}


def quantile_column(level: float) -> str:
    """0.05 -> q05, 0.5 -> q50, 0.975 -> q975."""
    return "q" + f"{level:.3f}"[2:].removesuffix("0")


QUANTILE_COLUMNS = tuple(quantile_column(level) for level in LEVELS)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
