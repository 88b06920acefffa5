"""Small panels for the tests of the panel engine: made, never read."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from training.panels.dataset import Dataset
from training.panels.panel import Panel
from training.panels.read import to_panel, typed

START = dt.date(2024, 1, 1)  # a Monday
DAYS = Dataset(name="made", freq="D", season_length=7, horizon=7)


def rows_of(units: dict[tuple[str, str], list[float | None]], step_days: int = 1, **columns: Any) -> pl.DataFrame:
    """One row per series and period from each series' list; `columns` are lists of the same length, or one value."""
    rows = []
    for (store, product), values in units.items():
        for at, value in enumerate(values):
            row = {"date": START + dt.timedelta(days=at * step_days), "store_id": store, "product_id": product, "units": value}
            rows.append(row | {name: given[at] if isinstance(given, list) else given for name, given in columns.items()})
    return pl.DataFrame(rows, infer_schema_length=None)


def panel_of(units: dict[tuple[str, str], list[float | None]], dataset: Dataset = DAYS, **columns: Any) -> Panel:
    """The panel of such rows."""
    return to_panel(typed(rows_of(units, dataset.step_days, **columns), "made"), dataset)


def shop(series: int = 12, periods: int = 84, seed: int = 7, dataset: Dataset = DAYS) -> Panel:
    """Stores × products whose levels differ a hundredfold, with weekdays that matter and a promotion that doubles sales."""
    random = np.random.default_rng(seed)
    level = np.geomspace(0.3, 30.0, series)
    promoted = (random.random((series, periods)) < 0.15).astype(np.float64)
    weekday = 1.0 + 0.5 * np.sin(2 * np.pi * np.arange(periods) / 7)
    mean = level[:, None] * weekday[None, :] * (1 + promoted)
    return Panel(
        dataset=dataset,
        first=START,
        stores=np.array([f"S{number % 3}" for number in range(series)]),
        products=np.array([f"P{number:02d}" for number in range(series)]),
        units=random.poisson(mean).astype(np.float64),
        price=np.where(promoted > 0, 80.0, 100.0),
        known={"x_promotion": promoted},
        codes={"product_category": np.arange(series) % 2},
    )


def without_future(panel: Panel, origin: int) -> Panel:
    """The panel as a user has it at the origin: later units and stock are not there."""
    units = panel.units.copy()
    units[:, origin + 1 :] = np.nan
    in_stock = panel.in_stock
    if in_stock is not None:
        in_stock = in_stock.copy()
        in_stock[:, origin + 1 :] = np.nan
    return replace(panel, units=units, in_stock=in_stock)


def folder_of(path: Path, panel: Panel) -> Path:
    """A panel folder of a panel of days, with its prices and what is known ahead."""
    columns = {"units": panel.units, "price_cents": panel.price, **panel.known}
    dates = [panel.date_of(column) for column in range(panel.periods)]
    pl.DataFrame(
        {
            "date": dates * panel.series,
            "store_id": np.repeat(panel.stores, panel.periods).tolist(),
            "product_id": np.repeat(panel.products, panel.periods).tolist(),
            **{name: matrix.ravel() for name, matrix in columns.items() if matrix is not None},
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None)).write_parquet(path / "panel.parquet")
    facts = {"name": "made", "freq": "D", "season_length": 7, "horizon": 7, "origins": ["2024-02-25", "2024-03-10"]}
    (path / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return path
