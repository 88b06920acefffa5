"""Demand as far as sales show it, where shelves run empty."""

from __future__ import annotations

import numpy as np

from training.panels.history import parts_of, shifted, smoothed
from training.panels.panel import Panel
from training.rows import Floats

ALPHA = 0.2  # of the level that a day is held against: that of some two weeks of days


def demand_of(panel: Panel) -> Floats:
    """[series, period], units: sales of full shelves, and those of other periods that were above the level all the same.

    Demand was at least as much then. Where shelves run empty because much is asked for, the periods with full shelves are the
    quiet ones, and they alone would say that little is. Where they run empty by chance, sales are rarely above the level in spite
    of it. All else is NaN. Each value depends on its past alone.
    """
    full = panel.full()
    if panel.in_stock is None:
        return full
    for part in parts_of(len(full)):
        level = shifted(smoothed(full[part], ALPHA))
        ran_out = np.isnan(full[part]) & (panel.units[part] > 0)
        full[part] = np.where(ran_out & (panel.units[part] >= level), panel.units[part], full[part])
    return full
