"""AutoETS (Hyndman & Khandakar 2008) by statsforecast, a model for each of the largest series.

It is fitted on full periods only, unknown ones filled, and has nothing to say of series that are too short for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from statsforecast.models import AutoETS

from training.panels.candidates.base import Made, Task, by_origin
from training.panels.candidates.routing import BOUND, gapless, largest
from training.panels.features import FeatureMaker
from training.rows import Floats, Ints

AUTO_ETS = "auto_ets"
PERIODS = 400  # of history, at most: older ones weigh next to nothing, and a fit takes half a millisecond for each
LONGEST_SEASON = 24  # the longest season that the exponential smoothing state carries; beyond it there is none


@dataclass(frozen=True, slots=True)
class EtsPerSeries:
    """The candidate: at most `max_series` of the largest series, None for all."""

    max_series: int | None = None
    name: str = AUTO_ETS
    pooled: bool = False

    def params(self) -> dict[str, Any]:
        """The limit, and how far it looks back."""
        return asdict(self) | {"periods": PERIODS}

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Each series is fitted up to each origin; nothing is learnt over all of them."""
        return by_origin(maker, task, lambda origin, asked: self._means(maker, origin, asked, task.horizon))

    def _means(self, maker: FeatureMaker, origin: int, asked: Ints, horizon: int) -> Floats:
        season = maker.panel.dataset.season_length
        season = season if season <= LONGEST_SEASON else 1
        shortest = max(2 * season + 4, 12)
        out = np.full((len(asked), horizon), np.nan)
        demand = maker.demand[asked, max(0, origin + 1 - PERIODS) : origin + 1]
        for series in largest(maker.panel.units[asked, : origin + 1], demand, shortest, self.max_series):
            start = (~np.isnan(demand[series])).argmax()
            values = gapless(demand[series : series + 1, start:])[0]
            try:
                mean = np.asarray(AutoETS(season_length=season).forecast(y=values, h=horizon)["mean"], dtype=np.float64)
            except Exception:  # noqa: BLE001  # "no model able to be fitted" has no class of its own; it is counted as uncovered
                continue
            out[series] = np.clip(mean, 0.0, BOUND * max(float(np.max(values)), 0.0))
        return out
