"""Training rows of a panel: series × origin × lead with a known full demand, drawn evenly from the origins before one.

Two thirds of the origins are the latest, up to the period before: of those whose horizon is not over yet the leads that are
known are learnt from. The others lie around the same place of earlier years, where a history has such: the season of the
horizon has been there, and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.panels.beside import workers
from training.panels.block import Asked
from training.panels.calendar import YEAR_PERIODS
from training.panels.features import FeatureMaker
from training.rows import Floats, Ints, Matrix

STEP = {"D": 5, "W": 2}  # periods between origins: 5 and 7 share no factor, so that every weekday comes at every lead
FIRST = {"D": 28, "W": 26}  # periods of history before the first origin, where the panel has them
LATEST, OF_A_YEAR, YEARS = 40, 10, 2  # origins: the latest, those of each earlier year, and how many of these
MAX_ORIGINS = LATEST + OF_A_YEAR * YEARS
MAX_ROWS = 200_000  # some 70 MB of features; half of them cost 4 % of WAPE on the largest panel of weeks that was measured


@dataclass(frozen=True, slots=True)
class Sample:
    """One row per drawn series × origin × lead. `target` and `scale` are in units."""

    names: tuple[str, ...]
    x: Matrix
    target: Floats
    scale: Floats

    def __len__(self) -> int:
        return len(self.target)

    def at(self, rows: Ints) -> Sample:
        """Those rows."""
        return Sample(self.names, self.x[rows], self.target[rows], self.scale[rows])


def training_origins(freq: str, trained_to: int, horizon: int) -> list[int]:
    """The origins of which some of the horizon is known, latest first; a short panel has fewer periods before them."""
    first = min(FIRST[freq], max((trained_to - horizon) // 2, 0))
    every = list(range(trained_to - STEP[freq], first - 1, -STEP[freq]))
    latest, older = every[:LATEST], every[LATEST:]
    around = [trained_to - back * YEAR_PERIODS[freq] for back in range(1, YEARS + 1)]
    seasonal = {origin for centre in around for origin in older if abs(origin - centre) * 2 <= OF_A_YEAR * STEP[freq]}
    others = [origin for origin in older if origin not in seasonal][: max(MAX_ORIGINS - LATEST - len(seasonal), 0)]
    return sorted({*latest, *seasonal, *others}, reverse=True)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A sample, and the column of each row's target."""

    sample: Sample
    column: Ints

    def known(self, column: int) -> int:
        """Of how many the target lies up to a column."""
        return int((self.column <= column).sum())

    def until(self, column: int, limit: int, seed: int) -> Sample | None:
        """At most `limit` of the rows whose target lies up to a column; None where there are none."""
        known = np.flatnonzero(self.column <= column)
        if len(known) > limit:
            known = np.sort(np.random.default_rng([seed, column]).choice(known, limit, replace=False))
        if not len(known):
            return None
        every = len(known) == len(self.column)
        return self.sample if every else self.sample.at(known)


def draw(maker: FeatureMaker, trained_to: int, horizon: int, limit: int, seed: int, threads: int = 1) -> Drawn | None:
    """At most `limit` rows, the same for the same seed and any number of threads; None where the panel has none."""
    origins = [origin for origin in training_origins(maker.rhythm.freq, trained_to, horizon) if origin >= 0]
    each = max(1, limit // max(1, len(origins)))
    with workers(threads) as pool:
        parts = [
            pool.submit(_of_origin, maker, origin, min(horizon, trained_to - origin), horizon, each, seed) for origin in origins
        ]
        full = [drawn for part in parts if len((drawn := part.result()).column)]
    if not full:
        return None
    samples = [part.sample for part in full]
    sample = Sample(
        samples[0].names,
        np.concatenate([part.x for part in samples]),
        np.concatenate([part.target for part in samples]),
        np.concatenate([part.scale for part in samples]),
    )
    return Drawn(sample, np.concatenate([part.column for part in full]))


def _of_origin(maker: FeatureMaker, origin: int, known: int, horizon: int, limit: int, seed: int) -> Drawn:
    """Of the first `known` periods of the horizon: what comes after them is not known yet to who learns."""
    target = maker.demand[:, origin + 1 : origin + 1 + known]
    # a series that starts within the horizon is a cold start: learnt from as well
    series, lead = np.nonzero(~np.isnan(target))
    if len(series) > limit:
        chosen = np.sort(np.random.default_rng([seed, origin]).choice(len(series), limit, replace=False))
        series, lead = series[chosen], lead[chosen]
    block = maker.block(Asked.pairs(origin, horizon, series, lead + 1))
    return Drawn(Sample(block.names, block.x, target[series, lead], block.scale), origin + 1 + lead)
