"""All candidates and the chosen blend at every origin of a data set, scored: by candidate and origin."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from contracts.errors import DataGateError
from training.panels.choice import label
from training.panels.engine import Plan, Result, forecast
from training.panels.forecasts import PanelForecast, rows_of
from training.panels.panel import Panel
from training.panels.scores import Part, judged, measure, pooled
from training.panels.slices import Slices, by_plan, by_segment

CHOSEN = "chosen"
ALL, IN_STOCK_ROWS = "all rows", "in stock"


@dataclass(frozen=True, slots=True)
class Backtest:
    """`parts` are by scope of rows, candidate and origin, `segments` by volume × intermittency, candidate and origin.

    `forecasts` are the chosen ones as the rows of a file, `planned` the errors at the last origin by what was known ahead.
    """

    origins: tuple[dt.date, ...]
    parts: dict[str, dict[str, dict[dt.date, Part]]]
    segments: dict[str, dict[str, dict[dt.date, Part]]]
    choices: dict[dt.date, dict[str, Any]]
    seconds: dict[dt.date, float]
    forecasts: pl.DataFrame
    last: dict[str, PanelForecast]  # of the last origin, by candidate
    result: Result  # of the last origin
    planned: Slices

    def scores(self, scope: str = ALL, origins: Sequence[dt.date] | None = None) -> dict[str, dict[str, Any]]:
        """Candidate -> its scores over the origins; the chosen blend first."""
        asked = self.origins if origins is None else origins
        return {name: pooled([by_origin[origin] for origin in asked]) for name, by_origin in self.parts[scope].items()}

    def segment_scores(self, origins: Sequence[dt.date] | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        """Segment -> candidate -> its scores over those of the origins at which the segment had series."""
        asked = self.origins if origins is None else origins
        found = {
            segment: {name: [parts[origin] for origin in asked if origin in parts] for name, parts in by_candidate.items()}
            for segment, by_candidate in self.segments.items()
        }
        return {
            segment: {name: pooled(parts) for name, parts in by_candidate.items() if parts}
            for segment, by_candidate in found.items()
        }

    def importance(self) -> dict[str, float]:
        """Feature -> share of the total gain of the trees that made the default candidate's forecast at the last origin."""
        trees = self.result.trees.get(self.result.default)
        return {} if trees is None else trees.importance()

    def as_json(self) -> dict[str, Any]:
        """Everything but the forecasts."""
        last = [self.origins[-1]]
        return {
            "origins": [origin.isoformat() for origin in self.origins],
            "overall": {scope: self.scores(scope) for scope in self.parts},
            "last_origin": {scope: self.scores(scope, last) for scope in self.parts},
            "by_origin": {
                origin.isoformat(): {scope: self.scores(scope, [origin]) for scope in self.parts} for origin in self.origins
            },
            "by_segment": self.segment_scores(),
            "last_origin_by_plan": self.planned,
            "importance": {"candidate": self.result.default, "share_of_total_gain": self.importance()},
            "choices": {origin.isoformat(): why for origin, why in self.choices.items()},
            "seconds": {origin.isoformat(): seconds for origin, seconds in self.seconds.items()},
        }


def default_origins(panel: Panel, number: int = 3) -> tuple[dt.date, ...]:
    """The data set's own; else the last ones, a horizon apart, whose horizons are in the panel."""
    if panel.dataset.origins:
        return panel.dataset.origins
    horizon = panel.dataset.horizon
    columns = [panel.periods - 1 - horizon * back for back in range(number, 0, -1)]
    return tuple(panel.date_of(column) for column in columns if column >= horizon)


def backtest(panel: Panel, origins: Sequence[dt.date], plan: Plan) -> Backtest:
    """Each origin forecasts from what was known at it alone.

    An origin after which nothing is known is passed over, with a word. Raises DataGateError where none is left.
    """
    if not origins:
        raise _nothing(panel, "the panel is too short for an origin with a horizon after it")
    horizon = panel.dataset.horizon
    judgeable = [origin for origin in sorted(origins) if judged(panel, panel.column_of(origin), horizon).any()]
    for origin in sorted(set(origins) - set(judgeable)):
        plan.progress(f"{origin}: no units are known in the horizon after it; passed over")
    if not judgeable:
        raise _nothing(panel, f"no units are known in the horizon after {', '.join(map(str, sorted(origins)))}")
    parts: dict[str, dict[str, dict[dt.date, Part]]] = {}
    segments: dict[str, dict[str, dict[dt.date, Part]]] = {}
    choices, seconds, frames = {}, {}, []
    last: dict[str, PanelForecast] = {}
    result: Result | None = None
    for origin in judgeable:
        result = None  # the features of one origin are let go before those of the next are made
        column = panel.column_of(origin)
        started = time.perf_counter()
        result = forecast(panel, column, horizon, _comparing(plan, origin))
        seconds[origin] = time.perf_counter() - started
        choices[origin] = explained(result)
        frames.append(rows_of(panel, column, result.chosen))
        last = {CHOSEN: result.chosen, **result.by_candidate()}
        for name, made in last.items():
            for scope, part in _parts(panel, column, made).items():
                parts.setdefault(scope, {}).setdefault(name, {})[origin] = part
        for label_of, by_candidate in by_segment(panel, column, last, result.segment).items():
            for name, part in by_candidate.items():
                segments.setdefault(label_of, {}).setdefault(name, {})[origin] = part
    assert result is not None
    planned = by_plan(panel, column, last)
    return Backtest(tuple(judgeable), parts, segments, choices, seconds, pl.concat(frames), last, result, planned)


def explained(result: Result) -> dict[str, Any]:
    """Why the chosen forecast is what it is."""
    made = result.lesson.choice if result.lesson else None
    return {
        "blend": label(made.pooled) if made else None,
        "by_segment": [label(blend) for blend in made.of_segment] if made else [],
        "losses_over_default": made.losses if made else {},
        "pulled_to_the_median": result.lesson.pulled if result.lesson else 0.0,
        "expected_to_be_closed": _expected_closings(result),
        "series_filled_by_the_moving_average": {name: number for name, number in result.uncovered.items() if number},
    }


def _expected_closings(result: Result) -> dict[str, int]:
    """Day of the horizon -> series of stores that are expected to be shut, though nobody announced it."""
    panel, first = result.now.maker.panel, result.now.origin + 1
    if panel.shut is None:
        return {}
    number = panel.shut[:, first : first + result.now.horizon].sum(axis=0)
    return {panel.date_of(first + lead).isoformat(): int(number[lead]) for lead in map(int, np.flatnonzero(number))}


def _parts(panel: Panel, origin: int, made: PanelForecast) -> dict[str, Part]:
    parts = {ALL: measure(panel, origin, made)}
    if panel.in_stock is not None:
        parts[IN_STOCK_ROWS] = measure(panel, origin, made, only_in_stock=True)
    return parts


def _comparing(plan: Plan, origin: dt.date) -> Plan:
    return replace(plan, compare=True, progress=lambda text: plan.progress(f"{origin}: {text}"))


def _nothing(panel: Panel, why: str) -> DataGateError:
    return DataGateError(
        f"{panel.dataset.name} cannot be backtested",
        doing="looking for rows to judge",
        why=why,
        hint="Give other --origin dates.",
    )
