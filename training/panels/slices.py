"""Errors of a forecast on parts of its rows: by segment, and where something planned is low and high, such as a promotion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from training.panels.choice import segment_names
from training.panels.forecasts import PanelForecast
from training.panels.panel import Panel
from training.panels.scores import Part, after, judged, measure
from training.rows import Flags, Floats, Ints

PRICE_CUT = "price cut"
CUT = 0.05  # of the usual price, below which a price is no rounding
USUAL_PERIODS = 28  # whose mean is the usual price, where no base price is known
Slices = dict[str, dict[str, dict[str, Any]]]


def truth_of(panel: Panel, origin: int, horizon: int) -> Floats:
    """[series, lead]: the units of the rows that count, NaN on the others."""
    return np.where(judged(panel, origin, horizon), after(panel.units, origin, horizon), np.nan)


def wape(truth: Floats, mean: Floats, rows: Flags | None = None) -> float:
    """sum |y - f| / sum |y| over the known rows of a mask; NaN where it has no meaning."""
    known = np.isfinite(truth) if rows is None else np.isfinite(truth) & rows
    size = float(np.abs(truth[known]).sum())
    return float(np.abs(truth - mean)[known].sum()) / size if size else float("nan")


def planned(panel: Panel, origin: int, horizon: int) -> Iterator[tuple[str, Flags]]:
    """What was known ahead, and where it was high, [series, lead]: each covariate above its middle, and a price cut."""
    for name in sorted(panel.known):
        signal = after(panel.known[name], origin, horizon)
        known = signal[np.isfinite(signal)]
        middle = (known.min() + known.max()) / 2 if len(known) else 0.0
        yield name, np.nan_to_num(signal, nan=-np.inf) > middle
    cut = price_cut(panel, origin, horizon)
    if cut is not None:
        yield PRICE_CUT, cut


def price_cut(panel: Panel, origin: int, horizon: int) -> Flags | None:
    """[series, lead]: where the planned price is below the base price, else below the recent mean; None without prices."""
    if panel.price is None:
        return None
    if panel.base_price is not None:
        usual = after(panel.base_price, origin, horizon)
    else:
        recent = panel.price[:, max(0, origin + 1 - USUAL_PERIODS) : origin + 1]
        known = np.isfinite(recent)
        count = known.sum(axis=1)
        usual = np.where(count > 0, np.where(known, recent, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)[:, None]
    below: Flags = after(panel.price, origin, horizon) < (1 - CUT) * usual
    return below


def by_plan(panel: Panel, origin: int, forecasts: Mapping[str, PanelForecast]) -> Slices:
    """What was planned -> candidate -> `rows_high`, `wape_high`, `wape_low`; None where a part has no rows or no units."""
    horizon = panel.dataset.horizon
    truth = truth_of(panel, origin, horizon)
    return {
        signal: {
            name: {
                "rows_high": int((high & np.isfinite(truth)).sum()),
                "wape_high": _number(wape(truth, made.mean, high)),
                "wape_low": _number(wape(truth, made.mean, ~high)),
            }
            for name, made in forecasts.items()
        }
        for signal, high in planned(panel, origin, horizon)
    }


def by_segment(panel: Panel, origin: int, forecasts: Mapping[str, PanelForecast], segment: Ints) -> dict[str, dict[str, Part]]:
    """Segment -> candidate -> its sums; segments without a series are left out."""
    parts = {}
    for number, label in enumerate(segment_names()):
        members = segment == number
        if members.any():
            some = panel.only(members)
            parts[label] = {
                name: measure(some, origin, PanelForecast(made.mean[members], made.quantiles[members]))
                for name, made in forecasts.items()
            }
    return parts


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None
