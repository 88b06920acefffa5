"""How good a forecast of one origin was: WAPE, bias, RMSSE, weighted RMSSE, scaled pinball loss, coverage, crossing.

WAPE      sum |y - f| / sum |y|                        bias    sum (f - y) / sum y
RMSSE     per series sqrt(mean (y - f)^2 / scale), then the mean over series; the scale is the mean squared one-step change of
          the series' history from its first sale on (Hyndman & Koehler 2006; M5 competition guide 2020)
wRMSSE    the same, weighted by the revenue of the last 28 periods of history
SPL       pinball loss / mean absolute one-step change, the mean over levels, then over series
cover     share of rows with y <= the quantile         cross   share of rows on which any two quantiles are out of order

A row counts where its units are known and its series has a known value up to the origin. Series whose history does not move
have no scale and are left out of RMSSE and SPL. Over several origins WAPE, bias, cover and cross pool the rows, RMSSE and SPL
the pairs of series and origin, wRMSSE is the mean over origins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.panels.forecasts import PanelForecast
from training.panels.panel import IN_STOCK, Panel
from training.rows import LEVELS, Flags, Floats

SCORED_LEVELS = (0.5, 0.75, 0.9, 0.95, 0.975)
REVENUE_PERIODS = 28
Cube = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Part:
    """The sums of one forecast at one origin, which pool over origins; arrays are [series], NaN where it has no scale."""

    rows: int
    absolute_error: float
    signed_error: float
    absolute_units: float
    units: float
    rmsse: Floats
    revenue: Floats | None
    pinball: dict[float, Floats]
    covered: dict[float, int]
    crossed: int


def judged(panel: Panel, origin: int, horizon: int, only_in_stock: bool = False) -> Flags:
    """[series, lead]: the rows that count. With `only_in_stock` those of full periods alone."""
    units = after(panel.units, origin, horizon)
    started = np.isfinite(panel.units[:, : origin + 1]).sum(axis=1) > 0
    mask: Flags = np.isfinite(units) & started[:, None]
    if only_in_stock:
        if panel.in_stock is None:
            return np.zeros_like(mask)
        with np.errstate(invalid="ignore"):
            mask &= after(panel.in_stock, origin, horizon) >= IN_STOCK
    return mask


def scales(history: Floats) -> tuple[Floats, Floats]:
    """[series]: mean squared and mean absolute one-step change from the first sale on; NaN where there is none."""
    started = np.cumsum(np.nan_to_num(history) != 0, axis=1) > 0
    change = np.diff(np.where(started, history, np.nan), axis=1)
    return _known_mean(change**2), _known_mean(np.abs(change))


def measure(panel: Panel, origin: int, forecast: PanelForecast, only_in_stock: bool = False) -> Part:
    """What one forecast of `origin` sums up to on the rows that count."""
    horizon = forecast.mean.shape[1]
    mask = judged(panel, origin, horizon, only_in_stock)
    truth = np.where(mask, after(panel.units, origin, horizon), 0.0)
    mean = np.where(mask, forecast.mean, 0.0)
    squared, absolute = scales(panel.units[:, : origin + 1])
    rmsse = np.sqrt(_scaled((truth - mean) ** 2, mask, squared))
    pinball, covered = {}, {}
    for level in SCORED_LEVELS:
        quantile = forecast.quantiles[:, :, LEVELS.index(level)]
        gap = truth - np.where(mask, quantile, 0.0)
        pinball[level] = _scaled(np.maximum(level * gap, (level - 1) * gap), mask, absolute)
        covered[level] = int((mask & (gap <= 0)).sum())
    crossed = (np.diff(forecast.quantiles, axis=2) < -1e-9).any(axis=2)
    return Part(
        rows=int(mask.sum()),
        absolute_error=float(np.abs(truth - mean).sum()),
        signed_error=float((mean - truth).sum()),
        absolute_units=float(np.abs(truth).sum()),
        units=float(truth.sum()),
        rmsse=rmsse,
        revenue=_revenue(panel, origin, rmsse),
        pinball=pinball,
        covered=covered,
        crossed=int((mask & crossed).sum()),
    )


def pooled(parts: Sequence[Part]) -> dict[str, Any]:
    """The measures over one or more origins; None where one has no meaning."""
    rows = sum(part.rows for part in parts)
    losses = [_mean_over_series([part.pinball[level] for part in parts]) for level in SCORED_LEVELS]
    return {
        "rows": rows,
        "wape": _share(sum(p.absolute_error for p in parts), sum(p.absolute_units for p in parts)),
        "bias": _share(sum(p.signed_error for p in parts), sum(p.units for p in parts)),
        "rmsse": _mean_over_series([part.rmsse for part in parts]),
        "wrmsse": _weighted(parts),
        "spl": None if None in losses else float(np.mean([loss for loss in losses if loss is not None])),
        "coverage": {f"{level:g}": _share(sum(p.covered[level] for p in parts), rows) for level in SCORED_LEVELS},
        "crossing": _share(sum(p.crossed for p in parts), rows),
    }


def after(values: Floats, origin: int, horizon: int) -> Floats:
    """The horizon's columns, NaN where the panel ends before."""
    out = np.full((len(values), horizon), np.nan)
    found = values[:, origin + 1 : origin + 1 + horizon]
    out[:, : found.shape[1]] = found
    return out


def _known_mean(values: Floats) -> Floats:
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _scaled(loss: Floats, mask: Flags, scale: Floats) -> Floats:
    """[series]: mean loss of the rows that count over the scale."""
    rows = mask.sum(axis=1)
    usable = (rows > 0) & (np.nan_to_num(scale) > 0)
    mean = np.where(mask, loss, 0.0).sum(axis=1) / np.maximum(rows, 1)
    out: Floats = np.divide(mean, scale, out=np.full(len(rows), np.nan), where=usable)
    return out


def _revenue(panel: Panel, origin: int, rmsse: Floats) -> Floats | None:
    last = slice(max(0, origin + 1 - REVENUE_PERIODS), origin + 1)
    if panel.dataset.unit == "currency":
        money = panel.units[:, last]
    elif panel.price is not None:
        money = panel.units[:, last] * panel.price[:, last]
    else:
        return None
    return np.where(np.isnan(rmsse), 0.0, np.nansum(money, axis=1).clip(0.0))


def _mean_over_series(arrays: Sequence[Floats]) -> float | None:
    values = np.concatenate(arrays)
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else None


def _weighted(parts: Sequence[Part]) -> float | None:
    means = []
    for part in parts:
        if part.revenue is None or part.revenue.sum() <= 0:
            return None
        means.append(float((part.revenue * np.nan_to_num(part.rmsse)).sum() / part.revenue.sum()))
    return float(np.mean(means)) if means else None


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
