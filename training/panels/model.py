"""A forecast's model as a folder: what an origin taught, read again without any training, for that origin and for later ones.

The folder holds `facts.json` (what it reads, which blend forecasts which series, how far points are pulled), a booster for each
candidate of trees that a blend uses, one for the quantiles, and `corrections.npz`. Rules of one series (seasonal naive, SBA, …)
have nothing to keep: their parameters are the series' own history, so they are asked anew.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from contracts.errors import ConfigurationError, DataGateError, UsageError
from training.panels.candidates.base import PanelCandidate, Task
from training.panels.candidates.boosted import said
from training.panels.candidates.fitted import FittedQuantiles, FittedTrees
from training.panels.choice import Blend, Choice
from training.panels.engine import Result, view_from
from training.panels.features import FeatureMaker
from training.panels.forecasts import PanelForecast
from training.panels.kept import fingerprint
from training.panels.lesson import Lesson, Now, Trees, chosen_by, used
from training.panels.panel import Panel
from training.panels.past import filled
from training.panels.portfolio import remade
from training.panels.spread import Offsets
from training.rows import Floats

FACTS, CORRECTIONS, QUANTILES = "facts.json", "corrections.npz", "quantiles.ubj"
FORMAT = 3  # of the folder: raised when an older reader would misread a newer model, or a newer one an older


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is of. `candidates` are those that a blend uses, with their parameters; `trees` those of them that are kept.

    `deviations` are the planned signals' standard deviations; `losses` are null where a loss was without bound.
    """

    dataset: str
    freq: str
    season_length: int
    horizon: int
    unit: str
    origin: dt.date
    default: str
    candidates: dict[str, dict[str, Any]]
    trees: list[str]
    blend: Blend | None
    by_segment: list[Blend]
    losses: dict[str, float | None]
    pulled: float
    deviations: dict[str, float]
    features: list[str]
    features_fingerprint: str
    data_fingerprint: str
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class PanelModel:
    """What an origin taught. `lesson` is None where there was no past: the default forecasts, with a count's spread."""

    facts: Facts
    trees: Mapping[str, FittedTrees]
    lesson: Lesson | None
    rules: Mapping[str, PanelCandidate] = field(default_factory=dict)

    def forecast(self, panel: Panel, origin: int, horizon: int) -> PanelForecast:
        """All series of a panel from an origin (a column) on.

        Raises UsageError for a longer horizon than was learnt, DataGateError where the panel has other periods or nothing is
        known up to the origin, FingerprintMismatch where it lacks what the model reads.
        """
        self._check(panel, horizon)
        maker = FeatureMaker(view_from(panel, origin, horizon), self.facts.deviations)
        task = Task(origin, (origin,), horizon)
        raw = {name: self._mean(name, maker, task) for name in self.facts.candidates}
        means = filled(raw, maker.scale(origin))
        return chosen_by(self.lesson, Now(maker, origin, horizon), means, self.facts.default)

    def _mean(self, name: str, maker: FeatureMaker, task: Task) -> Floats:
        if name in self.trees:
            return said(self.trees[name], maker, task.trained_to, task)
        if name in self.rules:
            return self.rules[name].make(maker, task).means[0]
        return np.full((maker.panel.series, task.horizon), np.nan)  # trees that had no row to learn from

    def _check(self, panel: Panel, horizon: int) -> None:
        facts = self.facts
        if horizon > facts.horizon:
            raise UsageError(
                f"The model has learnt {facts.horizon} periods ahead, not {horizon}",
                doing="forecasting with a model that was kept",
                hint="Ask for fewer periods, or forecast without --model.",
            )
        if (panel.dataset.freq, panel.dataset.season_length) != (facts.freq, facts.season_length):
            raise DataGateError(
                f"The model is of periods {facts.freq} and a season of {facts.season_length}",
                doing="forecasting with a model that was kept",
                why=f"the panel has {panel.dataset.freq} and {panel.dataset.season_length}",
            )


def learnt_by(result: Result, candidates: list[PanelCandidate], panel: Panel, origin: int, horizon: int) -> PanelModel:
    """The model of a forecast that was just made from `origin`."""
    lesson = result.lesson
    names = used(lesson, result.default)
    asked = {candidate.name: candidate for candidate in candidates if candidate.name in names}
    trees = {name: fitted for name, fitted in result.trees.items() if name in names}
    features = _features(trees, lesson)
    facts = Facts(
        dataset=panel.dataset.name,
        freq=panel.dataset.freq,
        season_length=panel.dataset.season_length,
        horizon=horizon,
        unit=panel.dataset.unit,
        origin=panel.date_of(origin),
        default=result.default,
        candidates={name: candidate.params() for name, candidate in asked.items()},
        trees=sorted(trees),
        blend=lesson.choice.pooled if lesson else None,
        by_segment=list(lesson.choice.of_segment) if lesson else [],
        losses={name: loss if np.isfinite(loss) else None for name, loss in lesson.choice.losses.items()} if lesson else {},
        pulled=lesson.pulled if lesson else 0.0,
        deviations=dict(result.deviations),
        features=features,
        features_fingerprint=hashlib.sha256(json.dumps(features).encode()).hexdigest(),
        data_fingerprint=fingerprint(panel.at(origin, horizon)),
    )
    return PanelModel(facts, trees, lesson, {name: rule for name, rule in asked.items() if not rule.pooled})


def save(model: PanelModel, folder: Path) -> None:
    """Writes a model into an existing empty folder."""
    (folder / FACTS).write_bytes(msgspec.json.format(msgspec.json.encode(model.facts)))
    for name, fitted in model.trees.items():
        fitted.save(folder / _booster(name))
    if model.lesson is None:
        return
    arrays = {"volume_edges": model.lesson.volume_edges, **_arrays("by_size", model.lesson.by_size)}
    if model.lesson.trees is not None:
        model.lesson.trees.fitted.save(folder / QUANTILES)
        arrays |= _arrays("last", model.lesson.trees.last)
    with (folder / CORRECTIONS).open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load(folder: Path, threads: int = 1) -> PanelModel:
    """The model of a folder. Raises ConfigurationError where it is none, or one of another version of this code."""
    try:
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=Facts)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigurationError(f"{folder.name} is no model of a panel", doing="loading a model", why=str(error)) from error
    if facts.format != FORMAT:
        raise _other(f"its folder is of format {facts.format}, this code reads {FORMAT}")
    trees = {name: FittedTrees.load(folder / _booster(name), threads) for name in facts.trees}
    rules = {name: rule for name, params in facts.candidates.items() if (rule := remade(name, params)) is not None}
    changed = [name for name, rule in rules.items() if rule.params() != facts.candidates[name]]
    if changed:
        raise _other(f"{', '.join(changed)} had other parameters then")
    return PanelModel(facts, trees, _lesson(folder, facts, threads), rules)


def prove(folder: Path, panel: Panel, origin: int, horizon: int, made: PanelForecast) -> None:
    """Raises DataGateError where the model of a folder does not say, to the last digit, what was forecast when it was made."""
    kept = load(folder).forecast(panel, origin, horizon)
    for what, a, b in (("mean", made.mean, kept.mean), ("quantiles", made.quantiles, kept.quantiles)):
        if not np.array_equal(a, b):
            raise DataGateError(
                f"The model that was kept differs from the forecast in its {what}, by up to {float(np.abs(a - b).max()):.4g}",
                doing="checking a model before its registration",
                why="it would forecast something else than what was judged",
                hint="This is a bug of `training.panels.model`.",
            )


def _lesson(folder: Path, facts: Facts, threads: int) -> Lesson | None:
    if facts.blend is None:
        return None
    with np.load(folder / CORRECTIONS) as found:
        arrays = dict(found)
    losses = {name: np.inf if loss is None else loss for name, loss in facts.losses.items()}
    trees = None
    if (folder / QUANTILES).exists():
        trees = Trees(FittedQuantiles.load(folder / QUANTILES, threads), _offsets("last", arrays))
    choice = Choice(tuple(facts.by_segment), facts.blend, losses)
    return Lesson(choice, arrays["volume_edges"], _offsets("by_size", arrays), trees, facts.pulled)


def _features(trees: Mapping[str, FittedTrees], lesson: Lesson | None) -> list[str]:
    """What the boosters read, in their order; all of a forecast's boosters read the same."""
    names = [fitted.names for fitted in trees.values()] + ([lesson.trees.fitted.names] if lesson and lesson.trees else [])
    return list(names[0]) if names else []


def _arrays(name: str, offsets: Offsets) -> dict[str, Floats]:
    return {f"{name}_edges": offsets.edges, f"{name}_offsets": offsets.of_segment, f"{name}_stretch": offsets.stretch}


def _offsets(name: str, arrays: Mapping[str, Floats]) -> Offsets:
    return Offsets(arrays[f"{name}_edges"], arrays[f"{name}_offsets"], arrays[f"{name}_stretch"])


def _booster(name: str) -> str:
    return f"trees-{name}.ubj"


def _other(why: str) -> ConfigurationError:
    return ConfigurationError(
        "The model was made by another version of this code",
        doing="loading a model",
        why=why,
        hint="Make another: `./rd360 forecast --panel DIR --track`.",
    )
