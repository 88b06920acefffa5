"""How forecasts and backtests of panel folders are put together from options. Imports training libraries."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.settings import Settings
from training.panels.backtest import Backtest, backtest, default_origins, explained
from training.panels.engine import Plan, forecast
from training.panels.forecasts import PanelForecast, rows_of, write_rows
from training.panels.kept import KeptMeans, fingerprint
from training.panels.model import learnt_by
from training.panels.panel import Panel
from training.panels.portfolio import every as every_candidate
from training.panels.portfolio import quantile_recipe, quick
from training.panels.read import read_panel
from training.panels.report import page
from training.registry import ModelRegistry

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Registry:
    """Where a panel's models are kept; under the panel's own name unless another one is given."""

    settings: Settings
    name: str | None

    def of(self, panel: Panel) -> ModelRegistry:
        """It answers: one that is down is better known before the fits than after. Raises DependencyUnavailable."""
        from training.panels.registered import registry_of

        found = registry_of(self.settings, panel, self.name)
        found.champion_version()
        return found


def forecast_panel(
    folder: Path,
    origin: dt.date,
    out: Path,
    horizon: int | None,
    *,
    every: bool,
    threads: int,
    seed: int,
    track: Registry | None,
    progress: Progress,
) -> dict[str, Any]:
    """Forecasts a folder's series from an origin into a parquet file, and keeps the model with `track`; returns what was done.

    Where nothing is known of the last periods up to the origin, it is made from the last one that is known, with longer leads.
    """
    started = time.perf_counter()
    panel = read_panel(folder)
    registry = None if track is None else track.of(panel)
    column, length = panel.column_of(origin), horizon or panel.dataset.horizon
    candidates = every_candidate(seed) if every else quick(seed)
    plan = Plan(candidates, quantile_recipe(seed), threads=threads, progress=progress)
    known = panel.last_known(column)
    leads = length + column - known
    made = forecast(panel, known, leads, plan)
    done = {"choice": explained(made)}
    if registry is not None:
        from training.panels.registered import register
        from training.panels.tracking import of_forecast

        progress("proving, tracking and registering the model")
        model = learnt_by(made, candidates, panel, known, leads)
        done["model"] = register(registry, of_forecast(panel, made, plan, model), model, panel, made.chosen).as_json()
    return _written(panel, column, known, made.chosen, out) | done | {"seconds": time.perf_counter() - started}


def forecast_by_model(
    folder: Path, origin: dt.date, out: Path, horizon: int | None, *, version: str, registry: Registry, threads: int
) -> dict[str, Any]:
    """Forecasts a folder's series with a model that was kept: nothing is learnt; returns what was done."""
    from training.panels.registered import read_model

    started = time.perf_counter()
    panel = read_panel(folder)
    kept = registry.of(panel)
    number, model = read_model(kept, version, threads)
    column, length = panel.column_of(origin), horizon or model.facts.horizon
    known = panel.last_known(column)
    made = model.forecast(panel, known, length + column - known)
    learnt = fingerprint(panel.at(panel.column_of(model.facts.origin), model.facts.horizon))
    facts = {
        "name": kept.name,
        "version": number,
        "origin": model.facts.origin.isoformat(),
        "data_as_it_was": learnt == model.facts.data_fingerprint,
    }
    return _written(panel, column, known, made, out) | {"model": facts, "seconds": time.perf_counter() - started}


def _written(panel: Panel, column: int, known: int, made: PanelForecast, out: Path) -> dict[str, Any]:
    asked = made.after(column - known)
    rows = write_rows([rows_of(panel, column, asked)], out)
    days = {"origin": panel.date_of(column).isoformat(), "known_up_to": panel.date_of(known).isoformat()}
    return {"series": panel.series, "rows": rows, **days, "horizon": asked.mean.shape[1]}


def backtest_panel(
    folder: Path,
    origins: list[dt.date],
    *,
    ets_series: int | None,
    prophet_series: int,
    threads: int,
    seed: int,
    keep: Path | None,
    forecasts: Path | None,
    html: Path | None,
    track: Registry | None,
    progress: Progress,
) -> tuple[Backtest, dict[str, Any] | None]:
    """Backtests a folder; with `keep` a second run goes on where the first one stopped. `forecasts` gets the chosen ones.

    With `track` the model of the last origin is kept, and judged by the gate: the second value says as what.
    """
    panel = read_panel(folder)
    registry = None if track is None else track.of(panel)
    candidates = every_candidate(seed, ets_series, prophet_series)
    with tempfile.TemporaryDirectory(prefix="rd360-backtest-") as scratch:
        make = KeptMeans(keep or Path(scratch))
        plan = Plan(candidates, quantile_recipe(seed), threads=threads, progress=progress, make=make)
        done = backtest(panel, origins or default_origins(panel), plan)
    if forecasts is not None:
        write_rows([done.forecasts], forecasts)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(panel, done), encoding="utf-8")
    if keep is not None:
        (keep / "scores.json").write_text(json.dumps(done.as_json(), indent=2) + "\n", encoding="utf-8")
    if registry is None:
        return done, None
    from training.panels.registered import judge, register
    from training.panels.tracking import of_backtest

    progress("proving, tracking and registering the model of the last origin")
    model = learnt_by(done.result, candidates, panel, panel.column_of(done.origins[-1]), panel.dataset.horizon)
    made = register(registry, of_backtest(panel, done, plan, model), model, panel, done.result.chosen)
    return done, judge(registry, made, panel, done).as_json()
