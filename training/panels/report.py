"""A backtest as one HTML page: the table, and of the last origin errors, calibration, the features that matter, and fans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

import numpy as np

from training.panels.backtest import CHOSEN, Backtest
from training.panels.candidates.naive import MOVING_AVERAGE, SEASONAL_NAIVE
from training.panels.forecasts import PanelForecast
from training.panels.panel import Panel
from training.panels.slices import truth_of, wape
from training.panels.svg import Line, bars, chart
from training.rows import LEVELS, Floats

FANS = 6
FEATURES = 25  # with the largest gain
BEFORE = 56  # periods of history shown before a fan
CLASSES = 5
SHOWN = (CHOSEN, "xgboost", SEASONAL_NAIVE, MOVING_AVERAGE)
STYLE = (
    "body{font:14px sans-serif;margin:24px}table{border-collapse:collapse}"
    "td,th{padding:2px 10px;text-align:right}figure{display:inline-block}"
)


def page(panel: Panel, done: Backtest) -> str:
    """The whole page; it loads nothing."""
    origin = done.origins[-1]
    column, last = panel.column_of(origin), done.last
    truth = truth_of(panel, column, panel.dataset.horizon)
    shown = {name: last[name] for name in SHOWN if name in last}
    charts = [
        chart(f"WAPE by lead, {origin}", [_by_lead(name, made, truth) for name, made in shown.items()], "lead"),
        chart("WAPE by volume, small to large", [_by_volume(name, made, truth) for name, made in shown.items()], "class"),
        chart("Share of rows below the quantile", [_calibration(last[CHOSEN], truth)], "level"),
        *_plan_charts(done, shown),
        *_importance(done),
        *(_fan(panel, column, series, last[CHOSEN]) for series in _typical(truth)),
    ]
    title = f"Backtest of {escape(panel.dataset.name)}"
    tables = "".join(
        f"<h2>{escape(scope)}, {name}</h2>{_table(done.scores(scope, origins))}"
        for scope in done.parts
        for name, origins in (("all origins", None), (f"last origin {origin}", [origin]))
    )
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return f"{head}<h1>{title}</h1>{tables}{''.join(charts)}\n"


def _table(scores: dict[str, dict[str, Any]]) -> str:
    names = ("wape", "bias", "rmsse", "wrmsse", "spl", "crossing")
    head = "".join(f"<th>{name}</th>" for name in ("candidate", "rows", *names, "cover .9", "cover .95"))
    rows = []
    for candidate, score in scores.items():
        values = [score[name] for name in names] + [score["coverage"]["0.9"], score["coverage"]["0.95"]]
        cells = "".join(f"<td>{'–' if value is None else format(value, '.4f')}</td>" for value in values)
        rows.append(f"<tr><th>{escape(candidate)}</th><td>{score['rows']:,}</td>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _by_lead(name: str, made: PanelForecast, truth: Floats) -> Line:
    leads = np.arange(truth.shape[1])
    errors = [wape(truth[:, lead], made.mean[:, lead]) for lead in leads]
    return Line(name, (leads + 1).astype(np.float64), np.array(errors))


def _by_volume(name: str, made: PanelForecast, truth: Floats) -> Line:
    volume = np.nansum(truth, axis=1)
    order = np.array_split(np.argsort(volume, kind="stable"), CLASSES)
    errors = [wape(truth[part], made.mean[part]) for part in order]
    return Line(name, np.arange(1.0, CLASSES + 1), np.array(errors))


def _calibration(made: PanelForecast, truth: Floats) -> Line:
    mask = np.isfinite(truth)
    shares = [
        float((truth[mask] <= made.quantiles[:, :, at][mask]).mean()) if mask.any() else np.nan for at in range(len(LEVELS))
    ]
    return Line(CHOSEN, np.array(LEVELS), np.array(shares))


def _plan_charts(done: Backtest, shown: Iterable[str]) -> Iterator[str]:
    """WAPE where a covariate is below and above its middle (a promotion's flag is one), and where the price is cut."""
    for signal, by_candidate in done.planned.items():
        errors = {name: [by_candidate[name][part] for part in ("wape_low", "wape_high")] for name in shown}
        lines = [Line(name, np.array([0.0, 1.0]), np.array(pair, dtype=np.float64)) for name, pair in errors.items()]
        yield chart(f"WAPE by {signal}, low and high", lines, "high")


def _importance(done: Backtest) -> Iterator[str]:
    shares = dict(list(done.importance().items())[:FEATURES])
    if shares:
        yield bars(f"Share of the total gain of {done.result.default}, {done.origins[-1]}", shares)


def _typical(truth: Floats) -> list[int]:
    """Series from the largest down to the middle, evenly."""
    order = np.argsort(-np.nansum(truth, axis=1), kind="stable")
    return [int(order[at]) for at in np.unique(np.linspace(0, max(len(order) // 2, 1) - 1, FANS).astype(int))]


def _fan(panel: Panel, column: int, series: int, made: PanelForecast) -> str:
    horizon = made.mean.shape[1]
    first = max(0, column + 1 - BEFORE)
    ahead = np.arange(1.0, horizon + 1)
    seen = panel.units[series, first : column + 1 + horizon]
    low, high, inner_low, inner_high = (made.quantiles[series, :, LEVELS.index(level)] for level in (0.05, 0.95, 0.25, 0.75))
    lines = [
        Line("units", np.arange(first - column, first - column + len(seen)).astype(np.float64), seen),
        Line("mean", ahead, made.mean[series]),
        Line("5–95 %", ahead, low, high),
        Line("25–75 %", ahead, inner_low, inner_high),
    ]
    return chart(f"{panel.stores[series]} × {panel.products[series]}", lines, "period")
