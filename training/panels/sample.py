"""Training rows of a panel: series × origin × lead with a known full demand, drawn evenly from the origins before one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.panels.features import FeatureMaker
from training.rows import Floats, Matrix

STEP = {"D": 5, "W": 2}  # periods between origins: 5 and 7 share no factor, so that every weekday comes at every lead
FIRST = {"D": 28, "W": 26}  # periods of history before the first origin, where the panel has them
MAX_ORIGINS = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """One row per drawn series × origin × lead. `target` and `scale` are in units."""

    names: tuple[str, ...]
    x: Matrix
    target: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.target)


def training_origins(freq: str, trained_to: int, horizon: int) -> list[int]:
    """The origins whose whole horizon is known, latest first; a short panel has fewer periods before them."""
    first = min(FIRST[freq], max((trained_to - horizon) // 2, 0))
    return list(range(trained_to - horizon, first - 1, -STEP[freq]))[:MAX_ORIGINS]


def draw(maker: FeatureMaker, trained_to: int, horizon: int, limit: int, seed: int) -> Sample | None:
    """At most `limit` rows, the same for the same seed; None where the panel has none."""
    origins = [origin for origin in training_origins(maker.rhythm.freq, trained_to, horizon) if origin >= 0]
    each = max(1, limit // max(1, len(origins)))
    parts = [_of_origin(maker, origin, horizon, each, seed) for origin in origins]
    full = [part for part in parts if len(part)]
    if not full:
        return None
    return Sample(
        full[0].names,
        np.concatenate([part.x for part in full]),
        np.concatenate([part.target for part in full]),
        np.concatenate([part.scale for part in full]),
    )


def _of_origin(maker: FeatureMaker, origin: int, horizon: int, limit: int, seed: int) -> Sample:
    target = maker.demand[:, origin + 1 : origin + 1 + horizon]
    # a series that starts within the horizon is a cold start: learnt from as well
    series, lead = np.nonzero(~np.isnan(target))
    if len(series) > limit:
        chosen = np.sort(np.random.default_rng([seed, origin]).choice(len(series), limit, replace=False))
        series, lead = series[chosen], lead[chosen]
    block = maker.block(origin, horizon)
    return Sample(block.names, block.x[series, lead], target[series, lead], block.scale[series])
