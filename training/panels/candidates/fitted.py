"""Trees that have learnt over all series, and their files: what is read back forecasts what was written, to the last digit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.boosters import load_booster
from training.panels.block import Block
from training.rows import LEVELS, Floats, Matrix

_NAMES = "features"  # an attribute within the booster's file; XGBoost's own names allow no < and no [


@dataclass(frozen=True, slots=True)
class FittedTrees:
    """A booster of the mean, and the features it reads, in its order."""

    booster: Any
    names: tuple[str, ...]

    def mean(self, block: Block) -> Floats:
        """[row], in units."""
        return np.maximum(_predicted(self.booster, block.of(self.names)), 0.0) * block.scale

    def importance(self) -> dict[str, float]:
        """Feature -> its share of the total gain, the largest first; a feature that no tree cuts is left out."""
        gain = self.booster.get_score(importance_type="total_gain")
        total = sum(gain.values()) or 1.0
        by_name = {self.names[int(key[1:])]: float(value) / total for key, value in gain.items()}
        return dict(sorted(by_name.items(), key=lambda item: (-item[1], item[0])))

    def save(self, path: Path) -> None:
        """Into one file."""
        _save(self.booster, self.names, path)

    @staticmethod
    def load(path: Path, threads: int = 1) -> FittedTrees:
        """From such a file."""
        return FittedTrees(*_load(path, threads))


@dataclass(frozen=True, slots=True)
class FittedQuantiles:
    """A booster of all levels, and the features it reads, in its order."""

    booster: Any
    names: tuple[str, ...]

    def quantiles(self, block: Block, around: Floats | None = None) -> NDArray[np.float64]:
        """[row, level], in units; in order and at least 0.

        Of trees that have learnt the errors of a mean, `around` is that mean [row], in units.
        """
        found = _predicted(self.booster, block.of(self.names)).reshape(-1, len(LEVELS)) * block.scale[:, None]
        if around is not None:
            found += around[:, None]
        return np.sort(np.maximum(found, 0.0), axis=1)

    def save(self, path: Path) -> None:
        """Into one file."""
        _save(self.booster, self.names, path)

    @staticmethod
    def load(path: Path, threads: int = 1) -> FittedQuantiles:
        """From such a file."""
        return FittedQuantiles(*_load(path, threads))


def _predicted(booster: Any, x: Matrix) -> Floats:
    """One value per row and output."""
    values: Floats = booster.inplace_predict(np.ascontiguousarray(x), missing=np.nan).astype(np.float64)
    return values


def _save(booster: Any, names: tuple[str, ...], path: Path) -> None:
    kept = booster.copy()
    kept.set_attr(**{_NAMES: json.dumps(names)})
    kept.save_model(path)


def _load(path: Path, threads: int) -> tuple[Any, tuple[str, ...]]:
    booster = load_booster(path, threads)
    return booster, tuple(json.loads(booster.attr(_NAMES)))
