"""What the past origins teach: the blend, how far demand falls from it, and whether the point goes to the median.

Learnt once, and applied to any origin by the same lines, whether it was just learnt or kept with a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from training.panels import choice, spread
from training.panels.candidates.fitted import FittedQuantiles
from training.panels.candidates.naive import MOVING_AVERAGE
from training.panels.features import FeatureMaker
from training.panels.forecasts import PanelForecast, tidy
from training.panels.newcomers import newcomers
from training.panels.past import Past
from training.rows import LEVELS, Floats, Ints

MEDIAN = LEVELS.index(0.5)
LAST_SEGMENTS = 6  # of the last correction: it only straightens what two ways of making quantiles left
PRIOR_PERIODS = 4.0  # that the unit of an error counts for beside a series' own deviation
Quantiles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Now:
    """The origin that is forecast, and what is known of the series there."""

    maker: FeatureMaker
    origin: int
    horizon: int

    @property
    def scale(self) -> Floats:
        """[series, lead], in units."""
        return np.broadcast_to(self.maker.scale(self.origin)[:, None], (self.maker.panel.series, self.horizon))

    def volume_edges(self) -> Floats:
        """Between the classes of volume, in units; what starts only after the origin has no say."""
        return choice.volume_edges(self.scale[self.maker.first <= self.origin, 0])

    def segment(self, edges: Floats) -> Ints:
        """[series]: volume × intermittency at the origin."""
        return segment_at(self.maker, self.origin, edges)

    def deviation(self, mean: Floats) -> Floats:
        """[series, lead], units: how far demand was from its mean, drawn towards the unit of an error where little is known."""
        level = self.maker.level
        _, count = level.window(self.origin, self.origin + 1)
        square, usual = (part.mean(self.origin, self.origin + 1) for part in (self.maker.square, level))
        own = np.maximum(np.nan_to_num(square - usual**2), 0.0)
        unit = spread.unit_of_error(mean, self.scale)
        return np.sqrt((count[:, None] * own[:, None] + PRIOR_PERIODS * unit**2) / (count[:, None] + PRIOR_PERIODS))

    def finished(self, mean: Floats, quantiles: Quantiles) -> PanelForecast:
        """Tidy, and 0 where the store is known to be closed."""
        shut = self.maker.closed(self.origin, self.horizon)
        made = tidy(mean, quantiles)
        return PanelForecast(np.where(shut, 0.0, made.mean), np.where(shut[:, :, None], 0.0, made.quantiles))


@dataclass(frozen=True, slots=True)
class Trees:
    """Quantiles by trees, and the correction of their mean with those by size."""

    fitted: FittedQuantiles
    last: spread.Offsets


@dataclass(frozen=True, slots=True)
class Lesson:
    """`volume_edges` are in units; `pulled` is the share of the way from the mean to the median."""

    choice: choice.Choice
    volume_edges: Floats
    by_size: spread.Offsets
    trees: Trees | None
    pulled: float

    def apply(self, now: Now, means: Mapping[str, Floats]) -> PanelForecast:
        """The blend, its quantiles by size and by trees, and its point pulled to the median where that paid.

        `means` are those of the candidates that a blend uses, [series, lead] in units.
        """
        mean = self.choice.apply(means, now.segment(self.volume_edges))
        quantiles = self.by_size.add(mean, now.scale, spread.constant(mean))
        if self.trees is not None:
            _meet(quantiles, mean, self.trees.fitted, now.maker, now.origin, np.arange(len(mean)))
            quantiles = self.trees.last.add(mean, now.scale, quantiles)
        return now.finished((1 - self.pulled) * mean + self.pulled * quantiles[..., MEDIAN], quantiles)


def learn(past: Past, now: Now, default: str, fitted: FittedQuantiles | None) -> Lesson:
    """From the past origins. A series' segment is that of then: today's would tell the choice how the horizons went.

    `fitted` are trees of the quantiles that had seen none of them, where there are such.
    """
    edges = now.volume_edges()
    segment = np.stack([segment_at(now.maker, origin, edges)[past.series] for origin in past.origins])
    made = choice.choose(choice.Seen(past.truth, past.means, past.squared_scale, segment), default)
    then = np.stack([made.apply({n: m[at] for n, m in past.means.items()}, segment[at]) for at in range(len(past.origins))])
    by_size = by_size_of(past, then)
    quantiles = by_size.add(then, past.scale, spread.constant(then))
    trees = None
    if fitted is not None:
        trees, quantiles = _trees(fitted, past, then, now, quantiles)
    # where shelves run empty, a low mean orders less, sells less and so confirms itself: it must not be biased
    free = now.maker.panel.in_stock is None
    pull = choice.pulled(past.truth, then, quantiles[..., MEDIAN], past.squared_scale) if free else 0.0
    return Lesson(made, edges, by_size, trees, pull)


def segment_at(maker: FeatureMaker, origin: int, edges: Floats) -> Ints:
    """[series]: volume × intermittency at an origin."""
    return choice.segments_of(maker.scale(origin), maker.sold.mean(origin, maker.rhythm.long), edges)


def used(lesson: Lesson | None, default: str) -> set[str]:
    """The candidates of which the forecast is made, and the moving average, which fills what they leave open."""
    blends = [((default, 1.0),)] if lesson is None else [lesson.choice.pooled, *lesson.choice.of_segment]
    return {name for blend in blends for name, _ in blend} | {MOVING_AVERAGE}


def chosen_by(lesson: Lesson | None, now: Now, means: Mapping[str, Floats], default: str) -> PanelForecast:
    """By what was learnt; without a past to learn from, the cautious blend with a spread of the series' own."""
    if lesson is None:
        mean = choice.mixed(choice.cautious(default, means), means)
        return now.finished(mean, normal(mean, now.deviation(mean)))
    return lesson.apply(now, means)


def by_size_of(past: Past, then: Floats) -> spread.Offsets:
    """How far demand fell from means of each size."""
    return spread.learn(_seen(past, then), spread.constant(then[past.known]))


def normal(mean: Floats, deviation: Floats) -> Quantiles:
    """[..., level]: of a normal around the mean, in units: a first guess, where there is no past to learn from."""
    z = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    out: Quantiles = np.maximum(mean, 0.0)[..., None] + deviation[..., None] * z
    return out


def _trees(fitted: FittedQuantiles, past: Past, then: Floats, now: Now, by_size: Quantiles) -> tuple[Trees, Quantiles]:
    """With the correction of their mean with the quantiles by size, and the quantiles at the past origins."""
    before = by_size  # changed in place: with its three origins it is the largest of a forecast's arrays
    for at, origin in enumerate(past.origins):
        _meet(before[at], then[at], fitted, now.maker, origin, past.series)
    last = spread.learn(_seen(past, then), before[past.known], LAST_SEGMENTS)
    return Trees(fitted, last), last.add(then, past.scale, before)


def _meet(quantiles: Quantiles, mean: Floats, fitted: FittedQuantiles, maker: FeatureMaker, origin: int, series: Ints) -> None:
    """Quantiles [series, lead, level] of those series become, in place, their mean with those of the trees.

    The trees have learnt up to the earliest past origin; what was learnt since is in the mean [series, lead].
    """
    for part, block in maker.parts(origin, quantiles.shape[1], series):
        of_trees = fitted.quantiles(block).reshape(quantiles[part].shape)
        scale = block.scale.reshape(mean[part].shape)
        new = newcomers(maker, origin, series[part])[:, None, None]  # of whom these trees know nothing
        quantiles[part] += np.where(new, quantiles[part], spread.towards(mean[part], scale, of_trees))
    quantiles /= 2


def _seen(past: Past, then: Floats) -> spread.Seen:
    origin, _, _ = np.nonzero(past.known)
    return spread.Seen(past.truth[past.known], then[past.known], past.scale[past.known], origin)
