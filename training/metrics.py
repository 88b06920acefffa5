"""Forecast errors, on flat arrays of one value per row.

Sources: Hyndman & Koehler 2006 (scaled errors), Kolassa & Schütz 2007 (WAPE as MAD/mean), Koenker & Bassett 1978 (pinball),
the M5 competition guide 2020 (RMSSE). NaN is returned where a measure has no meaning, such as WAPE where all demand is 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.rows import LEVELS, Daily, Floats, Forecast, Rows


@dataclass(frozen=True, slots=True)
class Scores:
    """One candidate on one set of rows."""

    rows: int
    wape: float
    bias: float
    pinball: float  # units, mean over rows and LEVELS
    rmsse: float
    coverage: dict[float, float]  # level -> share of rows at or below the quantile
    crossing: float

    def as_json(self) -> dict[str, Any]:
        """The scores with None for NaN."""
        plain = asdict(self)
        plain["coverage"] = {f"{level:g}": share for level, share in self.coverage.items()}
        return {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in plain.items()}


def wape(target: Floats, mean: Floats) -> float:
    """sum |y - f| / sum |y|."""
    return _ratio(float(np.abs(target - mean).sum()), float(np.abs(target).sum()))


def bias(target: Floats, mean: Floats) -> float:
    """sum (f - y) / sum y: positive where the forecast is too high."""
    return _ratio((mean - target).sum(), target.sum())


def pinball(target: Floats, quantile: Floats, level: float) -> float:
    """mean of max(a (y - q), (a - 1) (y - q)), in units."""
    gap = target - quantile
    return float(np.maximum(level * gap, (level - 1) * gap).mean()) if len(gap) else float("nan")


def mean_pinball(target: Floats, quantiles: Floats, levels: tuple[float, ...] = LEVELS) -> float:
    """The mean of the pinball losses over the levels; half of an approximation of the CRPS."""
    return float(np.mean([pinball(target, quantiles[:, at], level) for at, level in enumerate(levels)]))


def coverage(target: Floats, quantiles: Floats, levels: tuple[float, ...] = LEVELS) -> dict[float, float]:
    """Level -> share of rows with y <= its quantile. Whole units and zeros push it above the level."""
    return {level: _ratio(float((target <= quantiles[:, at]).sum()), len(target)) for at, level in enumerate(levels)}


def crossing(quantiles: Floats) -> float:
    """Share of rows on which any two quantiles are out of order."""
    return _ratio(float((np.diff(quantiles, axis=1) < -1e-9).any(axis=1).sum()), len(quantiles))


def squared_scales(daily: Daily) -> dict[tuple[str, str], float]:
    """Series -> mean squared one-day change of its demand from the first sale on; absent where the history does not move."""
    scales = {}
    for series, at in daily.series().items():
        demand = daily.demand[at]
        started = demand[np.argmax(demand != 0) :]
        changes = np.diff(started)
        scale = float(np.nanmean(changes**2)) if np.isfinite(changes).any() else 0.0
        if scale > 0:
            scales[series] = scale
    return scales


def rmsse(rows: Rows, mean: Floats, scales: dict[tuple[str, str], float]) -> float:
    """Mean over series of sqrt(mean (y - f)^2 / scale), on whole target days: the as-of day counts only from its start on."""
    whole = rows.column("share_of_day_left") == 1.0
    series, place = np.unique(np.stack([rows.store[whole], rows.product[whole]]), axis=1, return_inverse=True)
    squared = (rows.target[whole] - mean[whole]) ** 2
    scale = np.array([scales.get((str(s), str(p)), np.nan) for s, p in series.T])
    if not len(scale):
        return float("nan")
    per_series = np.bincount(place, squared) / np.bincount(place)
    with np.errstate(invalid="ignore"):
        errors = np.sqrt(per_series / scale)
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else float("nan")


def measure(rows: Rows, forecast: Forecast, scales: dict[tuple[str, str], float]) -> Scores:
    """All measures of a forecast on rows with known targets."""
    return Scores(
        rows=len(rows),
        wape=wape(rows.target, forecast.mean),
        bias=bias(rows.target, forecast.mean),
        pinball=mean_pinball(rows.target, forecast.quantiles),
        rmsse=rmsse(rows, forecast.mean, scales),
        coverage=coverage(rows.target, forecast.quantiles),
        crossing=crossing(forecast.quantiles),
    )


def _ratio(part: float | NDArray[np.float64], whole: float | NDArray[np.float64]) -> float:
    return float(part / whole) if whole else float("nan")
