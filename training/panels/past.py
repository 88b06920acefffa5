"""Past origins: what the candidates would have said before the last few horizons, beside what then happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from training.panels.candidates.base import Made, PanelCandidate, Task
from training.panels.candidates.naive import MOVING_AVERAGE
from training.panels.candidates.rows import TrainingRows
from training.panels.features import FeatureMaker
from training.panels.sample import FIRST
from training.panels.scores import scales
from training.rows import Flags, Floats, Ints

SHARED_FIT, ROWS_SHARE = 2, 1 / 4  # past origins that one fit is asked, and its share of the rows
MAX_SERIES = 2_500  # that are looked back on: more would say nothing new of blends and of the levels of quantiles
Progress = Callable[[str], None]
Make = Callable[[PanelCandidate, FeatureMaker, Task], Made]


@dataclass(frozen=True, slots=True)
class Past:
    """`truth`, `scale` and each candidate's means are [origin, drawn series, lead], in units; an unknown truth is NaN."""

    origins: tuple[int, ...]
    series: Ints
    truth: Floats
    scale: Floats
    means: dict[str, Floats]
    squared_scale: Floats  # [series], units²: of the history before all of the origins

    @property
    def known(self) -> Flags:
        """Where demand is known."""
        return ~np.isnan(self.truth)


def past_origins(freq: str, origin: int, horizon: int, number: int) -> tuple[int, ...]:
    """Up to `number` origins, a horizon apart, that end with the origin; there is some history before the earliest."""
    candidates = (origin - horizon * back for back in range(1, number + 1))
    return tuple(sorted(past for past in candidates if past >= FIRST[freq] // 2 + horizon))


def look_back(
    candidates: Sequence[PanelCandidate],
    maker: FeatureMaker,
    origins: tuple[int, ...],
    rows: TrainingRows,
    make: Make,
    pool: Executor,
    progress: Progress,
) -> Past:
    """All candidates at all past origins, of at most MAX_SERIES series.

    What learns over all series learns anew for every second one of them, from a quarter of the rows. Learning once from all would
    cost more, and would judge it by what it knew three horizons ago, beside candidates that know all of them.
    """
    series, horizon = drawn(maker.panel.series), rows.horizon
    chunks = [origins[at : at + SHARED_FIT] for at in range(0, len(origins), SHARED_FIT)]
    tasks = [Task(chunk[0], chunk, horizon, series, ROWS_SHARE, rows) for chunk in chunks]

    def means(candidate: PanelCandidate, task: Task) -> list[Floats]:
        progress(f"{candidate.name} on {len(task.origins)} past origins")
        return make(candidate, maker, task).means

    begun = {one.name: [pool.submit(means, one, task) for task in tasks] for one in learners_first(candidates)}
    raw = {one.name: [mean for part in begun[one.name] for mean in part.result()] for one in candidates}
    by_origin = [
        filled({name: parts[at] for name, parts in raw.items()}, maker.scale(origin)[series]) for at, origin in enumerate(origins)
    ]
    truth = np.stack([maker.demand[series, origin + 1 : origin + 1 + horizon] for origin in origins])
    scale = np.stack([maker.scale(origin)[series] for origin in origins])[:, :, None]
    return Past(
        origins,
        series,
        truth,
        np.broadcast_to(scale, truth.shape),
        {name: np.stack([filling[name] for filling in by_origin]) for name in raw},
        scales(maker.panel.units[series, : origins[0] + 1])[0],
    )


def learners_first(candidates: Sequence[PanelCandidate]) -> list[PanelCandidate]:
    """In the order to begin in: a long fit that begins last leaves a core idle beside it."""
    return sorted(candidates, key=lambda one: not one.pooled)


def drawn(series: int) -> Ints:
    """Of so many series at most MAX_SERIES, evenly, the same every time; ascending."""
    if series <= MAX_SERIES:
        return np.arange(series)
    return np.sort(np.random.default_rng(series).choice(series, MAX_SERIES, replace=False))


def filled(means: Mapping[str, Floats], scale: Floats) -> dict[str, Floats]:
    """What a candidate left open is the moving average; without any history, the scale [series]."""
    fallback = means.get(MOVING_AVERAGE, np.full((len(scale), 1), np.nan))
    fallback = np.where(np.isnan(fallback), scale[:, None], fallback)
    return {name: np.where(np.isnan(mean), fallback, mean) for name, mean in means.items()}
