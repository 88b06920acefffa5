"""Slow oracle of the panel scores: one number at a time, straight from the definitions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from training.panels.forecasts import PanelForecast
from training.panels.panel import IN_STOCK, Panel
from training.panels.scores import REVENUE_PERIODS, SCORED_LEVELS
from training.rows import LEVELS


def slow_scores(panel: Panel, origin: int, forecast: PanelForecast, only_in_stock: bool = False) -> dict[str, Any]:
    """The measures of one origin."""
    horizon = forecast.mean.shape[1]
    errors, signed, sizes, total, rows, crossed = 0.0, 0.0, 0.0, 0.0, 0, 0
    covered = dict.fromkeys(SCORED_LEVELS, 0)
    rmsse, weights = [], []
    spl: dict[float, list[float]] = {level: [] for level in SCORED_LEVELS}
    for series in range(panel.series):
        past = [float(value) for value in panel.units[series, : origin + 1]]
        if all(math.isnan(value) for value in past):
            continue
        changes = _changes(past)
        squares, losses = [], {level: [] for level in SCORED_LEVELS}
        for lead in range(horizon):
            column = origin + 1 + lead
            if not _counts(panel, series, column, only_in_stock):
                continue
            truth, mean = float(panel.units[series, column]), float(forecast.mean[series, lead])
            quantiles = {level: float(forecast.quantiles[series, lead, at]) for at, level in enumerate(LEVELS)}
            rows += 1
            errors += abs(truth - mean)
            signed += mean - truth
            sizes += abs(truth)
            total += truth
            squares.append((truth - mean) ** 2)
            ordered = [quantiles[level] for level in LEVELS]
            crossed += any(ordered[at] > ordered[at + 1] + 1e-9 for at in range(len(ordered) - 1))
            for level in SCORED_LEVELS:
                quantile = quantiles[level]
                losses[level].append(level * (truth - quantile) if truth >= quantile else (1 - level) * (quantile - truth))
                covered[level] += truth <= quantile
        squared, absolute = _mean(changes, lambda change: change**2), _mean(changes, abs)
        if squares and squared:
            rmsse.append(math.sqrt(sum(squares) / len(squares) / squared))
            weights.append(_revenue(panel, series, origin))
        if squares and absolute:
            for level in SCORED_LEVELS:
                spl[level].append(sum(losses[level]) / len(losses[level]) / absolute)
    revenue = (
        None
        if None in weights or not sum(filter(None, weights))
        else sum(w * r for w, r in zip(weights, rmsse, strict=True)) / sum(weights)
    )
    return {
        "rows": rows,
        "wape": errors / sizes if sizes else None,
        "bias": signed / total if total else None,
        "rmsse": sum(rmsse) / len(rmsse) if rmsse else None,
        "wrmsse": revenue,
        "spl": sum(sum(values) / len(values) for values in spl.values()) / len(spl) if spl[0.5] else None,
        "coverage": {f"{level:g}": covered[level] / rows if rows else None for level in SCORED_LEVELS},
        "crossing": crossed / rows if rows else None,
    }


def _counts(panel: Panel, series: int, column: int, only_in_stock: bool) -> bool:
    if column >= panel.periods or math.isnan(panel.units[series, column]):
        return False
    return not only_in_stock or (panel.in_stock is not None and bool(panel.in_stock[series, column] >= IN_STOCK))


def _changes(past: list[float]) -> list[float]:
    first = next((at for at, value in enumerate(past) if value != 0 and not math.isnan(value)), len(past))
    pairs = zip(past[first:], past[first + 1 :], strict=False)
    return [after - before for before, after in pairs if not math.isnan(after - before)]


def _mean(values: list[float], of: Callable[[float], float]) -> float:
    return sum(of(value) for value in values) / len(values) if values else 0.0


def _revenue(panel: Panel, series: int, origin: int) -> float | None:
    if panel.price is None:
        return None
    last = range(max(0, origin + 1 - REVENUE_PERIODS), origin + 1)
    money = [float(panel.units[series, column] * panel.price[series, column]) for column in last]
    return max(sum(value for value in money if not math.isnan(value)), 0.0)
