"""A panel's models in the registry, under a name of its own: proven, tracked, registered, and judged beside the champion."""

from __future__ import annotations

import re
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from contracts.errors import ConfigurationError, DataGateError, NotFoundError, UsageError
from contracts.settings import Settings
from training.gate import Decision, Duel, decide
from training.metrics import Scores
from training.panels.backtest import ALL, CHOSEN, Backtest
from training.panels.candidates.naive import SEASONAL_NAIVE
from training.panels.forecasts import PanelForecast
from training.panels.model import PanelModel, load, prove, save
from training.panels.panel import Panel
from training.panels.scores import measure, pooled
from training.panels.tracking import Tracked, columns_read, columns_written, example, tags
from training.registry import CHAMPION, KIND, PANEL, ModelRegistry
from training.signature import describe

PREFIX = "panel-"
_UNKNOWN = float("nan")


@dataclass(frozen=True, slots=True)
class Registered:
    """A version that was just made, and what the gate said of it; None where it was not asked."""

    name: str
    version: str
    run_id: str
    decision: Decision | None = None

    def as_json(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def registry_of(settings: Settings, panel: Panel, name: str | None = None) -> ModelRegistry:
    """The registry under the panel's own name, or a given one, which is its experiment's too."""
    chosen = name or PREFIX + re.sub(r"[^A-Za-z0-9_.-]+", "-", panel.dataset.name)
    return ModelRegistry(settings, chosen, experiment=chosen)


def register(registry: ModelRegistry, tracked: Tracked, model: PanelModel, panel: Panel, made: PanelForecast) -> Registered:
    """Tracks a run and registers its model as `challenger`.

    Raises DataGateError where the model as it is kept does not say what was forecast; then nothing is tracked.
    """
    origin = panel.column_of(model.facts.origin)
    with tempfile.TemporaryDirectory(prefix="rd360-panel-model-") as scratch:
        folder = Path(scratch)
        save(model, folder)
        prove(folder, panel, origin, model.facts.horizon, made)
        describe(folder, columns_read(panel), columns_written(), example(panel, origin))
        told = tags(model, tracked.run.name.split()[0])
        run_id = registry.record(tracked.run, tracked.candidates, tracked.files, told)
        version = registry.register(run_id, folder, {**told, KIND: PANEL})
    return Registered(registry.name, version, run_id)


def judge(registry: ModelRegistry, registered: Registered, panel: Panel, done: Backtest) -> Registered:
    """Asks the gate about a backtest's model, and makes it champion where the gate agrees.

    It must beat seasonal naive on all origins, and the champion on those that the champion has not seen. The gate's pinball loss
    is the scaled one (SPL).
    """
    rows = done.parts[ALL]
    everywhere = {name: _scores(pooled(list(rows[name].values()))) for name in (CHOSEN, SEASONAL_NAIVE)}
    decision = decide(CHOSEN, everywhere[CHOSEN], everywhere[SEASONAL_NAIVE], _duel(registry, panel, done))
    registry.note_decision(registered.version, decision.promoted, decision.reasons)
    if decision.promoted:
        registry.promote(registered.version)
    return Registered(registered.name, registered.version, registered.run_id, decision)


def read_model(registry: ModelRegistry, version: str, threads: int = 1) -> tuple[str, PanelModel]:
    """The number of a version (an alias is one too) and its model. Raises NotFoundError where there is none."""
    return registry.read(version, partial(load, threads=threads))


def _duel(registry: ModelRegistry, panel: Panel, done: Backtest) -> Duel | None:
    """Both on the origins that the champion has not learnt from; None where no champion can forecast this panel."""
    try:
        version, champion = read_model(registry, CHAMPION)
        unseen = [origin for origin in done.origins if origin >= champion.facts.origin]
        columns = [panel.column_of(origin) for origin in unseen]
        horizon = panel.dataset.horizon
        theirs = [measure(panel, column, champion.forecast(panel, column, horizon)) for column in columns]
    except (NotFoundError, ConfigurationError, DataGateError, UsageError):
        return None
    if not unseen:
        nothing = Scores(0, _UNKNOWN, _UNKNOWN, _UNKNOWN, _UNKNOWN, {}, 0.0)
        return Duel(f"champion version {version}", nothing, nothing)
    mine = [done.parts[ALL][CHOSEN][origin] for origin in unseen]
    return Duel(f"champion version {version}", _scores(pooled(mine)), _scores(pooled(theirs)))


def _scores(found: dict[str, Any]) -> Scores:
    known = {
        name: _UNKNOWN if found[name] is None else float(found[name]) for name in ("wape", "bias", "spl", "rmsse", "crossing")
    }
    return Scores(found["rows"], known["wape"], known["bias"], known["spl"], known["rmsse"], {}, known["crossing"])
