"""Models of one series at a time from statsforecast: AutoETS, and TSB and SBA for intermittent demand.

AutoETS: Hyndman & Khandakar 2008. SBA: Syntetos & Boylan 2005. TSB: Teunter, Syntetos & Babai 2011. They are fitted on full
periods only, unknown ones filled, and have nothing to say of series that are too short for them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from statsforecast.models import TSB, AutoETS, CrostonSBA

from training.panels.candidates.base import Made, Task
from training.panels.candidates.naive import closed_is_zero
from training.panels.candidates.routing import gapless, largest
from training.panels.features import FeatureMaker
from training.rows import Floats, Ints

AUTO_ETS, TSB_NAME, SBA_NAME = "auto_ets", "tsb", "sba"
ETS_SEASON = 24  # the longest season that the exponential smoothing state carries; beyond it there is none
BOUND = 3.0  # times the largest value seen: a trend that runs away is no forecast
SMOOTHING = 0.2


@dataclass(frozen=True, slots=True)
class Statistical:
    """The candidate: `kind` is one of the three names; at most `max_series` of the largest series, None for all."""

    kind: str
    max_series: int | None = None
    pooled: bool = False

    @property
    def name(self) -> str:
        """The kind."""
        return self.kind

    def params(self) -> dict[str, Any]:
        """The kind and the limit."""
        return asdict(self)

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Each series is fitted up to each origin; nothing is learnt over all of them."""
        asked = task.members(maker.panel)
        said = (self._means(maker, origin, asked, task.horizon) for origin in task.origins)
        return Made([closed_is_zero(maker, origin, asked, mean) for origin, mean in zip(task.origins, said, strict=True)])

    def _means(self, maker: FeatureMaker, origin: int, asked: Ints, horizon: int) -> Floats:
        season = maker.panel.dataset.season_length
        model, shortest = _model(self.kind, season)
        out = np.full((len(asked), horizon), np.nan)
        demand = maker.demand[asked, : origin + 1]
        for series in largest(maker.panel.units[asked, : origin + 1], shortest, self.max_series):
            if (~np.isnan(demand[series])).sum() < shortest:
                continue  # long enough, but hardly ever in stock
            values = gapless(demand[series])
            try:
                mean = np.asarray(model.forecast(y=values, h=horizon)["mean"], dtype=np.float64)
            except Exception:  # noqa: BLE001  # "no model able to be fitted" has no class of its own; it is counted as uncovered
                continue
            out[series] = np.clip(mean, 0.0, BOUND * max(float(np.max(values)), 0.0))
        return out


def _model(kind: str, season: int) -> tuple[Any, int]:
    """The model, and the fewest known periods that it takes."""
    if kind == AUTO_ETS:
        length = season if season <= ETS_SEASON else 1
        return AutoETS(season_length=length), max(2 * length + 4, 12)
    if kind == TSB_NAME:
        return TSB(alpha_d=SMOOTHING, alpha_p=SMOOTHING), 4
    return CrostonSBA(), 4
