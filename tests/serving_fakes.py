"""Fakes of the API's ports, and builders of online rows, for tests of serving."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import DependencyUnavailable, RetailDemandError
from contracts.events import ForecastServed
from contracts.features import AS_OF, CATALOGUE_FINGERPRINT, FINGERPRINT, SOURCE_OFFSET
from contracts.vector import MODEL_INPUTS, VECTOR_FINGERPRINT
from featurestore.keys import Key, key_columns, value_columns
from serving.model import Champion

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975)
STORE, PRODUCT = "s-01", "p-001"
# Thursday 2026-06-18 14:00 in London, an hour ahead of UTC
NOW = int(dt.datetime(2026, 6, 18, 13, 0, tzinfo=dt.UTC).timestamp() * 1000)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


@dataclass(frozen=True)
class Answer:
    """A prediction."""

    mean: float
    quantiles: tuple[float, ...]


class LevelScorer:
    """Answers with 28-day demand a day, times the share of the day left, plus what sold in the last hour: moves with features."""

    levels = LEVELS

    def score(self, rows: Any, asked: Any) -> list[Answer]:
        """One answer per row; the q-quantile is mean × 2q."""
        answers = []
        for row in rows:
            inputs = dict(zip(MODEL_INPUTS, row, strict=True))
            mean = inputs["units_28d"] / 28 * inputs["share_of_day_left"] + inputs["units_1h"]
            answers.append(Answer(mean, tuple(mean * 2 * level for level in LEVELS)))
        return answers


class BrokenScorer(LevelScorer):
    """Answers with no number."""

    def score(self, rows: Any, asked: Any) -> list[Answer]:
        """NaN for every row."""
        return [Answer(float("nan"), (float("nan"),) * len(LEVELS)) for _ in rows]


@dataclass
class FakeModels:
    """A ModelSource whose champion the test chooses."""

    champion: Champion | None = None
    down: bool = False
    loads: int = 0
    broken: RetailDemandError | None = None

    def version(self) -> str | None:
        """The champion's version."""
        if self.down:
            raise DependencyUnavailable("MLflow does not answer", doing="looking for the champion")
        return self.champion.version if self.champion else None

    def load(self, version: str) -> Champion:
        """The champion."""
        self.loads += 1
        if self.broken:
            raise self.broken
        assert self.champion is not None
        assert self.champion.version == version
        return self.champion


def champion(version: str = "1", fingerprint: str = VECTOR_FINGERPRINT, scorer: Any = None) -> Champion:
    """A champion that scores by LevelScorer."""
    return Champion("demand", version, fingerprint, scorer or LevelScorer())


@dataclass
class FakeLog:
    """A ForecastLog in memory."""

    capacity: int = 1_000_000
    forecasts: list[ForecastServed] = field(default_factory=list)
    wrong: str | None = None

    def append(self, forecasts: Sequence[ForecastServed]) -> None:
        """Takes all or none."""
        if len(self.forecasts) + len(forecasts) > self.capacity:
            raise DependencyUnavailable("The forecast log is full", doing="recording the forecasts of this request")
        self.forecasts.extend(forecasts)

    def tend(self) -> None:
        """Nothing comes back."""

    def trouble(self) -> str | None:
        """What the test says is wrong."""
        return self.wrong

    def close(self) -> int:
        """Nothing is left."""
        return 0


def row(view: str, key: Key, as_of: int = NOW, **features: Any) -> dict[str, Any]:
    """A row of a view: the named features, null for the others."""
    unknown = set(features) - set(value_columns(view))
    assert not unknown, f"{view} has no {unknown}"
    empty = dict.fromkeys(value_columns(view))
    stamp = {AS_OF: as_of, SOURCE_OFFSET: 0, FINGERPRINT: CATALOGUE_FINGERPRINT}
    return {**dict(zip(key_columns(view), key, strict=True)), **empty, **stamp, **features}


def selling(product: str = PRODUCT, as_of: int = NOW - MINUTE, **changes: Any) -> dict[str, Any]:
    """A rolling row of a product that sells 10 units a day in baskets of 2 and has sold 4 today."""
    usual = {"units_1h": 1, "units_24h": 9, "units_today": 4, "units_7d": 70, "units_28d": 280, "receipts_28d": 140}
    return row("sales_rolling", (STORE, product), as_of, **{**usual, **changes})


def levels(product: str = PRODUCT, as_of: int = NOW - 14 * HOUR, **changes: Any) -> dict[str, Any]:
    """A daily row of the same product: Monday 7 to Sunday 13 units."""
    usual = {"demand_mean_28d": 10.0, "weekday_mean_4w": [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]}
    return row("demand_daily", (STORE, product), as_of, **{**usual, **changes})
