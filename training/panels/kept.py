"""Means that candidates already made, in a folder: a backtest that was interrupted goes on where it stopped.

A file is named by what its content depends on: the data up to the origin with its plan, the candidate with its parameters, and
the task.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.panels.candidates.base import Made, PanelCandidate, Task
from training.panels.candidates.fitted import FittedTrees
from training.panels.features import FeatureMaker
from training.panels.panel import Panel

TREES = ".ubj"
LAYOUT = 5  # of the folder: what was kept of other training rows is made anew


@dataclass(frozen=True, slots=True)
class KeptMeans:
    """Stands in for `engine.compute`."""

    folder: Path

    def __call__(self, candidate: PanelCandidate, maker: FeatureMaker, task: Task) -> Made:
        """What was made before where nothing it depends on has changed, else new, which is kept with its trees.

        A candidate that does not learn over all series is kept by origin: the past origins of one origin are others' own.
        """
        if candidate.pooled:
            return self._kept(candidate, maker, task, maker.panel)
        single = (replace(task, trained_to=origin, origins=(origin,), rows_share=1.0) for origin in task.origins)
        return Made([self._kept(candidate, maker, one, maker.panel.at(one.trained_to, one.horizon)).means[0] for one in single])

    def _kept(self, candidate: PanelCandidate, maker: FeatureMaker, task: Task, known: Panel) -> Made:
        path = self.folder / f"{candidate.name}-{_name(candidate, known, task)}.npy"
        trees = path.with_suffix(TREES)
        if path.exists():
            return Made(list(np.load(path)), FittedTrees.load(trees) if trees.exists() else None)
        made = candidate.make(maker, task)
        self.folder.mkdir(parents=True, exist_ok=True)
        if made.trees is not None:  # before the means: where those are, the trees are
            made.trees.save(trees)
        partial = path.with_name(f"{path.name}.partial")
        with partial.open("wb") as file:
            np.save(file, np.stack(made.means))
        partial.replace(path)
        return made


def fingerprint(panel: Panel) -> str:
    """A hash of all that a forecast may read."""
    digest = hashlib.sha256(json.dumps([panel.dataset.freq, panel.dataset.season_length, panel.first.isoformat()]).encode())
    matrices: dict[str, NDArray[Any] | None] = {"units": panel.units, "in_stock": panel.in_stock, "shut": panel.shut}
    matrices |= {"price": panel.price, "base_price": panel.base_price}
    for name, matrix in [*matrices.items(), *sorted(panel.known.items()), *sorted(panel.codes.items())]:
        if matrix is not None:
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(matrix).data)
    digest.update("\n".join([*panel.stores.tolist(), *panel.products.tolist()]).encode())
    return digest.hexdigest()


def _name(candidate: PanelCandidate, panel: Panel, task: Task) -> str:
    asked = [LAYOUT, candidate.name, candidate.params(), task.trained_to, task.origins, task.horizon]
    asked += [task.members(panel).tolist(), task.rows_share, fingerprint(panel)]
    return hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()[:20]
