"""Seasonal naive: the mean of the last four same weekdays, with the quantiles of its own past errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.baseline import naive_mean
from training.models.base import SEASONAL_NAIVE, spread_out
from training.quantiles import adjust, conformal_offsets, horizon_group
from training.rows import Floats, Forecast, History, Rows
from training.scorer import Manifest, write_manifest
from training.split import iso_day

RESIDUAL_DAYS = 112  # sixteen weeks of its own errors


@dataclass(frozen=True, slots=True)
class FittedNaive:
    """The offsets of its errors by horizon group and level."""

    offsets: Floats
    origin_day: int

    def predict(self, questions: Rows) -> Forecast:
        """The rule's mean, and the mean plus the usual error at each level."""
        mean = naive_mean(questions.x)
        return Forecast(mean, adjust(mean, spread_out(mean), horizon_group(questions.column("days_ahead")), self.offsets))

    def export(self, folder: Path) -> None:
        """A manifest alone: the rule reads the vector."""
        write_manifest(
            folder,
            Manifest(
                kind="seasonal_naive",
                candidate=SEASONAL_NAIVE,
                trained_through=iso_day(self.origin_day - 1),
                offsets=self.offsets.tolist(),
            ),
        )

    def notes(self) -> dict[str, float]:
        """Nothing to add."""
        return {}


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """The baseline candidate."""

    name: str = SEASONAL_NAIVE

    def params(self) -> dict[str, Any]:
        """How many days of errors make its quantiles."""
        return {"residual_days": RESIDUAL_DAYS}

    def fit(self, history: History) -> FittedNaive:
        """Learns nothing but the size of its own errors."""
        rows = history.rows.where(history.rows.as_of_day >= history.origin_day - RESIDUAL_DAYS)
        mean = naive_mean(rows.x)
        offsets = conformal_offsets(rows.target, mean, spread_out(mean), horizon_group(rows.column("days_ahead")))
        return FittedNaive(offsets, history.origin_day)
