"""What a model must be able to do to take part in a backtest and to become champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from training.rows import LEVELS, Forecast, History, Rows
from training.scorer import Asked

SEASONAL_NAIVE = "seasonal_naive"  # the candidate that every other one has to beat


class Fitted(Protocol):
    """A candidate that has learnt from one history."""

    def predict(self, questions: Rows) -> Forecast:
        """One mean and quantiles at LEVELS per question; targets are not read."""
        ...

    def export(self, folder: Path) -> None:
        """Writes the served form, which `training.scorer.load_scorer` reads, into an existing empty folder."""
        ...

    def notes(self) -> dict[str, float]:
        """Figures about the fit worth tracking, such as how many series fell back."""
        ...


class Candidate(Protocol):
    """A recipe. The same history and the same seed give the same fit."""

    @property
    def name(self) -> str:
        """Its name in reports and in the registry."""
        ...

    def params(self) -> dict[str, Any]:
        """What it was told, for tracking."""
        ...

    def fit(self, history: History) -> Fitted:
        """Learns from what was known at the history's origin."""
        ...


def asked_of(rows: Rows) -> list[Asked]:
    """Whose demand each row asks for."""
    return [
        Asked(store, product, day)
        for store, product, day in zip(rows.store.tolist(), rows.product.tolist(), rows.target_day.tolist(), strict=True)
    ]


def spread_out(mean: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[rows, levels]: the mean at every level, for offsets to start from."""
    return np.repeat(mean[:, None], len(LEVELS), axis=1)
