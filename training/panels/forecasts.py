"""A forecast of all series of a panel from one origin, as arrays and as the rows of a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.panels.panel import Panel
from training.rows import LEVELS, Floats

QUANTILES = tuple(f"q_{level:g}" for level in LEVELS)


@dataclass(frozen=True, slots=True)
class PanelForecast:
    """`mean` is [series, lead] and `quantiles` [series, lead, level] at LEVELS, in units; lead 1 follows the origin."""

    mean: Floats
    quantiles: NDArray[np.float64]

    def after(self, leads: int) -> PanelForecast:
        """Without the first leads."""
        return PanelForecast(self.mean[:, leads:], self.quantiles[:, leads:])


def tidy(mean: Floats, quantiles: NDArray[np.float64]) -> PanelForecast:
    """A forecast that holds what every forecast must: finite, at least 0, quantiles in order."""
    return PanelForecast(
        np.maximum(np.nan_to_num(mean, posinf=0.0), 0.0), np.sort(np.maximum(np.nan_to_num(quantiles, posinf=0.0), 0.0), axis=2)
    )


def rows_of(panel: Panel, origin: int, forecast: PanelForecast) -> pl.DataFrame:
    """One row per series × period of the horizon: origin, date, store_id, product_id, mean and the quantiles, in units."""
    series, horizon = forecast.mean.shape
    of = np.repeat(np.arange(series), horizon)  # texts are gathered: a Python object for each row would take gigabytes
    dates = [panel.date_of(origin + 1 + lead) for lead in range(horizon)]
    columns = {name: forecast.quantiles[:, :, at].ravel() for at, name in enumerate(QUANTILES)}
    return pl.DataFrame(
        {
            "origin": pl.repeat(panel.date_of(origin), series * horizon, dtype=pl.Date, eager=True),
            "date": pl.Series(dates, dtype=pl.Date).gather(np.tile(np.arange(horizon), series)),
            "store_id": pl.Series(panel.stores.tolist(), dtype=pl.String).gather(of),
            "product_id": pl.Series(panel.products.tolist(), dtype=pl.String).gather(of),
            "mean": forecast.mean.ravel(),
            **columns,
        }
    )


def write_rows(frames: Sequence[pl.DataFrame], path: Path) -> int:
    """Writes the rows of one or more origins to one parquet file, whole or not at all; returns how many."""
    rows = pl.concat(frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    rows.write_parquet(partial)
    partial.replace(path)
    return rows.height
