"""Prophet (Taylor & Letham 2018), a model for each of the largest series: trend, seasons, and what is known ahead as regressors.

0.1 to 0.3 s a series: the series that sell most get one, up to a limit, and the candidate has nothing to say of the others.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from training.models.quiet_prophet import Prophet, quiet
from training.panels.candidates.base import Made, Task, by_origin
from training.panels.candidates.routing import BOUND, PROPHET, largest
from training.panels.features import FeatureMaker
from training.rows import Floats, Ints

MIN_PERIODS = {"D": 28, "W": 26}
MAX_REGRESSORS = 6  # each is one more slope to learn from one series


@dataclass(frozen=True, slots=True)
class ProphetPerSeries:
    """The candidate."""

    max_series: int = 50
    seed: int = 7
    name: str = PROPHET
    pooled: bool = False

    def params(self) -> dict[str, Any]:
        """The limit and the seed."""
        return asdict(self)

    def make(self, maker: FeatureMaker, task: Task) -> Made:
        """Each series is fitted up to each origin; nothing is learnt over all of them."""
        return by_origin(maker, task, lambda origin, asked: self._means(maker, origin, asked, task.horizon))

    def _means(self, maker: FeatureMaker, origin: int, asked: Ints, horizon: int) -> Floats:
        out = np.full((len(asked), horizon), np.nan)
        shortest = MIN_PERIODS[maker.rhythm.freq]
        demand = maker.demand[asked, : origin + 1]
        with quiet():
            for at in largest(maker.panel.units[asked, : origin + 1], demand, shortest, self.max_series):
                out[at] = self._series(maker, int(asked[at]), origin, horizon)
        return out

    def _series(self, maker: FeatureMaker, series: int, origin: int, horizon: int) -> Floats:
        history, future, regressors = frames(maker, series, origin, horizon)
        model = Prophet(
            weekly_seasonality=maker.rhythm.freq == "D",
            daily_seasonality=False,
            yearly_seasonality=origin + 1 >= 2 * maker.rhythm.year,  # two years before a season can be told from a trend
            uncertainty_samples=0,
        )
        for name in regressors:
            model.add_regressor(name)
        model.fit(history, seed=self.seed)
        mean = model.predict(future)["yhat"].to_numpy(dtype=np.float64)
        bounded: Floats = np.clip(mean, 0.0, BOUND * max(float(history["y"].max()), 0.0))
        return bounded


def frames(maker: FeatureMaker, series: int, origin: int, horizon: int) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """History and horizon as Prophet wants them, and the signals that are known on all their days and vary in the history."""
    days = pd.to_datetime([maker.panel.date_of(column) for column in range(origin + 1 + horizon)])
    signals = {name: values[series, : origin + 1 + horizon] for name, values in maker.plan.signals.items()}
    whole = pd.DataFrame({"ds": days, **signals}).ffill().bfill()
    history = whole.iloc[: origin + 1].assign(y=maker.demand[series, : origin + 1]).dropna(subset=["y"])
    usable = [name for name in sorted(signals) if whole[name].notna().all() and history[name].nunique() > 1][:MAX_REGRESSORS]
    return history[["ds", "y", *usable]], whole.iloc[origin + 1 :][["ds", *usable]], usable
