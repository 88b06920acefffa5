"""One training run: frame, backtest, a fit on everything, a version in the registry, and the gate's decision."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contracts.clock import Clock
from contracts.errors import ConfigurationError, DataGateError, NotFoundError
from contracts.features import CATALOGUE_FINGERPRINT
from contracts.vector import MODEL_INPUTS, VECTOR_FINGERPRINT
from training.backtest import Backtest, Progress, Result, backtest, scores_on
from training.frame import Frame
from training.gate import Decision, Duel, decide
from training.metrics import measure
from training.models.base import Candidate, Fitted, asked_of
from training.registry import LoadedModel, ModelRegistry, Run
from training.rows import LEVELS, Rows, data_fingerprint
from training.scorer import load_scorer
from training.split import day_numbers, history_at, iso_day
from training.tracking import accuracy_rows, candidate_metrics, candidate_run, summary

# A float32 sum over hundreds of trees may differ in its last digits between two ways of predicting; more is another model.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Training:
    """What a run did. `champion` is the version that is served after it."""

    run_id: str
    version: str
    candidate: str
    decision: Decision
    champion: str | None
    test: Backtest
    started_ms: int

    def as_json(self) -> dict[str, Any]:
        """The run as one JSON document."""
        return {
            "run_id": self.run_id,
            "version": self.version,
            "candidate": self.candidate,
            "promoted": self.decision.promoted,
            "reasons": list(self.decision.reasons),
            "champion_version": self.champion,
            "candidates": summary(self.test),
            "accuracy": accuracy_rows(self.test),
        }


def train(
    frame: Frame, candidates: Sequence[Candidate], registry: ModelRegistry, clock: Clock, progress: Progress = lambda _: None
) -> Training:
    """Runs it all. The best candidate becomes `challenger`; `champion` too where the gate agrees.

    Raises DataGateError where history is too short or where the served form of a model differs from the model.
    """
    started = clock()
    test = backtest(frame, candidates, progress)
    best = test.challenger()
    progress(f"{best.candidate.name} on everything")
    last_day = int(np.max(frame.daily.day))
    fitted = best.candidate.fit(history_at(frame.sampled, frame.daily, last_day + 1))
    with tempfile.TemporaryDirectory(prefix="rd360-train-") as folder:
        fitted.export(Path(folder))
        check_served_form(fitted, Path(folder), test.rows)
        progress("tracking and registering")
        run_id = _record(registry, frame, test, best, started)
        tags = {
            "candidate": best.candidate.name,
            "trained_through": iso_day(last_day),
            "vector_fingerprint": VECTOR_FINGERPRINT,
            "data_fingerprint": data_fingerprint(frame.sampled),
        }
        version = registry.register(run_id, Path(folder), tags)
    duel = fight(test, best, usable_champion(registry))
    decision = decide(best.candidate.name, best.overall, test.naive.overall, duel)
    registry.note_decision(version, decision.promoted, decision.reasons)
    if decision.promoted:
        registry.promote(version)
    champion = version if decision.promoted else registry.champion_version()
    return Training(run_id, version, best.candidate.name, decision, champion, test, started)


def check_served_form(fitted: Fitted, folder: Path, rows: Rows) -> None:
    """Raises DataGateError where the exported model does not say what the fitted one says, on real rows."""
    expected = fitted.predict(rows)
    served = load_scorer(folder).score_matrix(rows.x, asked_of(rows))
    for what, a, b in (("mean", expected.mean, served.mean), ("quantiles", expected.quantiles, served.quantiles)):
        if not np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE):
            raise DataGateError(
                f"The served form of the model differs from it in its {what}, by up to {float(np.abs(a - b).max()):.4g} units",
                doing="checking a model before its registration",
                why="it would forecast something else than what was judged",
                hint="This is a bug of the candidate's `export` or of `training.scorer`.",
            )


def usable_champion(registry: ModelRegistry) -> LoadedModel | None:
    """The champion; None where there is none, or where it is of other inputs or another format and so cannot be served."""
    try:
        return registry.load()
    except (NotFoundError, ConfigurationError):
        return None


def fight(test: Backtest, best: Result, champion: LoadedModel | None) -> Duel | None:
    """Challenger and champion on the judged rows whose target days came after the champion's training."""
    if champion is None:
        return None
    unseen = test.rows.target_day > _day(champion.trained_through)
    rows = test.rows.where(unseen)
    forecast = champion.scorer.score_matrix(rows.x, asked_of(rows))
    return Duel(f"champion version {champion.version}", scores_on(best, test.rows, unseen), measure(rows, forecast, {}))


def _record(registry: ModelRegistry, frame: Frame, test: Backtest, best: Result, started: int) -> str:

    params = {
        "candidate": best.candidate.name,
        **best.candidate.params(),
        "rows_sampled": len(frame.sampled),
        "series": len(frame.daily.series()),
        "horizon": frame.plan.horizon,
        "origins": ",".join(iso_day(origin) for origin in frame.plan.origins),
    }
    tags = {
        "vector_fingerprint": VECTOR_FINGERPRINT,
        "catalogue_fingerprint": CATALOGUE_FINGERPRINT,
        "data_fingerprint": data_fingerprint(frame.sampled),
        "judged_fingerprint": data_fingerprint(frame.judged),
    }
    at = dt.datetime.fromtimestamp(started / 1000, dt.UTC)
    return registry.record(
        Run(f"train {at:%Y-%m-%d %H:%M:%S}", params, candidate_metrics(best), {}),
        [candidate_run(result) for result in test.results.values()],
        {"backtest.json": summary(test), "vector.json": {"inputs": list(MODEL_INPUTS), "levels": list(LEVELS)}},
        tags,
    )


def _day(iso: str) -> int:
    return day_numbers([dt.date.fromisoformat(iso)])[0]
