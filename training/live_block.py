"""One row per question, as a block of the panel engine: the vector free of units, and the level of its series in units a day.

The level is of whole days before the as-of time, so that a sale of today moves the inputs and never what they are divided by.
"""

from __future__ import annotations

import numpy as np

from contracts.features import FEATURES, SALES_ROLLING, features_of
from contracts.vector import MODEL_INPUTS
from training.panels.block import Block
from training.panels.candidates.fitted import FittedQuantiles, FittedTrees
from training.panels.features import FLOOR
from training.panels.spread import unit_of_error
from training.rows import Floats, Matrix, column

RECENT, LONG, SHORT = "demand_mean_28d", "demand_mean_364d", "demand_mean_7d"
LONG_WEIGHT = 0.25  # of the long level against the recent one, as a panel's scale draws its level towards the longer one
SMALLEST = FLOOR**2  # of the typical level: a series that hardly sells is no outlier when it does
_AMOUNTS = ("units", "units a day", "receipts")
DIVIDED = frozenset(feature.name for feature in FEATURES if feature.unit in _AMOUNTS or feature.aggregate == "sum")
LOG_LEVEL = "log_level"
NAMES = (LOG_LEVEL, *MODEL_INPUTS)
_OF_SALES = {feature.name for feature in features_of(SALES_ROLLING.name)} | {"hours_since_last_sale", "price_ratio_28d"}
SPREAD_NAMES = tuple(name for name in NAMES if name not in _OF_SALES)  # what no sale of today moves
_AT = [at for at, name in enumerate(MODEL_INPUTS) if name in DIVIDED]


def known_level(x: Matrix) -> Floats:
    """[row], units a day: the level of now, drawn towards the longer one, never near 0 of it; NaN without a whole day."""
    recent, long = column(x, RECENT), column(x, LONG)
    level = np.where(np.isnan(long), recent, (recent + LONG_WEIGHT * long) / (1 + LONG_WEIGHT))
    level = np.where(np.isnan(level), column(x, SHORT), level)
    found: Floats = np.fmax(level, FLOOR * long)
    return found


def block_of(x: Matrix, typical: float) -> Block:
    """The rows of MODEL_INPUTS, free of units; `typical` is the level of a series of which none is known, units a day."""
    level = np.maximum(np.nan_to_num(known_level(x), nan=typical), SMALLEST * typical)
    free = x.astype(np.float64)
    free[:, _AT] /= level[:, None]
    with_level = np.concatenate([np.log(level)[:, None], free], axis=1)
    return Block(NAMES, with_level.astype(np.float32), level)


def spread_block(block: Block, mean: Floats) -> Block:
    """The same rows for the trees of the spread around a mean in units: their scale is the unit of its error."""
    return Block(SPREAD_NAMES, np.ascontiguousarray(block.of(SPREAD_NAMES)), unit_of_error(mean, block.scale))


def estimate(mean_trees: FittedTrees, spread_trees: FittedQuantiles, block: Block) -> tuple[Floats, Floats]:
    """Mean [row] and quantiles [row, level], in units: both rise with every input that a sale raises, see `models.xgboost`."""
    mean = mean_trees.mean(block)
    return mean, spread_trees.quantiles(spread_block(block, mean), around=mean)
