"""Series without a history, where the past has hardly any launch to learn from.

To trees, unknown lies below all that is known: of a series of which they know nothing they say what they have learnt of the
lowest, those that sell nothing any more, unless other series began before their eyes.
"""

from __future__ import annotations

import numpy as np

from training.panels.features import FeatureMaker
from training.panels.sample import FIRST
from training.rows import Flags, Floats, Ints

LAUNCHES = 10  # series that began since the first origin that is learnt from: fewer show no launch as it usually goes


def newcomers(maker: FeatureMaker, origin: int, series: Ints) -> Flags:
    """[series]: those without a history at an origin; none where enough others began before it."""
    earliest = FIRST[maker.rhythm.freq]
    began = int(((maker.first > earliest) & (maker.first <= origin)).sum())
    new: Flags = maker.first[series] > origin
    return new if began < LAUNCHES else np.zeros_like(new)


def as_others(mean: Floats, scale: Floats, new: Flags) -> Floats:
    """[series, lead], units: new ones go the way that all others together go, each from the level of its groups, its `scale`."""
    if new.all():
        return mean
    shape = mean[~new].sum(axis=0) / scale[~new].sum()
    return np.where(new[:, None], scale[:, None] * shape, mean)
