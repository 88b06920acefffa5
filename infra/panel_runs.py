"""How forecasts and backtests of panel folders are put together from options. Imports training libraries."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.panels.backtest import Backtest, backtest, default_origins, explained
from training.panels.engine import Plan, forecast
from training.panels.forecasts import rows_of, write_rows
from training.panels.kept import KeptMeans
from training.panels.portfolio import every as every_candidate
from training.panels.portfolio import quick
from training.panels.read import read_panel
from training.panels.report import page

Progress = Callable[[str], None]


def forecast_panel(
    folder: Path,
    origin: dt.date,
    out: Path,
    horizon: int | None,
    *,
    every: bool,
    threads: int,
    seed: int,
    progress: Progress,
) -> dict[str, Any]:
    """Forecasts a folder's series from an origin into a parquet file; returns what was done."""
    started = time.perf_counter()
    panel = read_panel(folder)
    column, length = panel.column_of(origin), horizon or panel.dataset.horizon
    candidates = every_candidate(threads, seed) if every else quick(threads, seed)
    made = forecast(panel, column, length, Plan(candidates, progress=progress))
    rows = write_rows([rows_of(panel, column, made.chosen)], out)
    return {
        "series": panel.series,
        "rows": rows,
        "origin": origin.isoformat(),
        "horizon": length,
        "choice": explained(made),
        "seconds": time.perf_counter() - started,
    }


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
    progress: Progress,
) -> Backtest:
    """Backtests a folder; with `keep` a second run goes on where the first one stopped. `forecasts` gets the chosen ones."""
    panel = read_panel(folder)
    candidates = every_candidate(threads, seed, ets_series, prophet_series)
    with tempfile.TemporaryDirectory(prefix="rd360-backtest-") as scratch:
        plan = Plan(candidates, progress=progress, make=KeptMeans(keep or Path(scratch)))
        done = backtest(panel, origins or default_origins(panel), plan)
    if forecasts is not None:
        write_rows([done.forecasts], forecasts)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(panel, done), encoding="utf-8")
    if keep is not None:
        (keep / "scores.json").write_text(json.dumps(done.as_json(), indent=2) + "\n", encoding="utf-8")
    return done
