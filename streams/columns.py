"""What states come to, as the columns of rows: the sums of windows and their ratios, by the catalogue's features of a view."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from contracts.aggregates import SALES_VALUES
from contracts.features import AS_OF, SOURCE_OFFSET, Feature, features_of
from featurestore.compiled import compiled_briefly
from featurestore.pieces import Ints
from featurestore.row_block import NULL, BlockLayout, Doubles, RowBlock, Whole
from streams import fold, packing
from streams.tiles import HOPS, SLOTS

_SUMS = len(HOPS) * len(SALES_VALUES)  # numbers of the windows; the facts stand after them
_STATE = {
    ("same_hour", "units"): fold.SAME_HOUR,
    ("last", "unit_price"): packing.LAST_PRICE,
    ("last", "event_time"): packing.LAST_MS,
}
_UNKNOWN = _SUMS + packing.LAST_MS, _SUMS + packing.LAST_PRICE  # where -1 is no number


class Places(NamedTuple):
    """The layout of a view's rows, and where its numbers stand: those of whole columns, and the two whose ratio is a double."""

    layout: BlockLayout
    whole: Ints
    unknown: Ints  # of the whole columns, those that may have no value
    over: Ints
    under: Ints


@functools.cache
def places(view: str) -> Places:
    """Where the numbers of the rows of a view stand among the sums and facts of a state."""
    features = features_of(view)
    sums, ratios = ([f for f in features if (f.aggregate == "ratio") is ratio] for ratio in (False, True))
    whole = np.array([_SUMS + packing.AS_OF, _SUMS + packing.OFFSET, *map(_place, sums)], np.int64)
    terms = [
        [SLOTS[f.window or ""] * len(SALES_VALUES) + SALES_VALUES.index(name) for name in f.value.split("/")] for f in ratios
    ]
    over, under = np.array(terms, np.int64).reshape(-1, 2).T
    names = (AS_OF, SOURCE_OFFSET, *(f.name for f in sums))
    layout = BlockLayout(view, names, tuple(f.name for f in ratios))
    return Places(layout, whole, np.flatnonzero(np.isin(whole, _UNKNOWN)), over, under)


def _place(feature: Feature) -> int:
    if feature.window is None:
        return _SUMS + _STATE[feature.aggregate, feature.value]
    return _of_window(feature, feature.value)


def _of_window(feature: Feature, value: str) -> int:
    return SLOTS[feature.window or ""] * len(SALES_VALUES) + SALES_VALUES.index(value)


def rows(view: str, keys: Sequence[tuple[str, ...]], facts: Ints, sums: Ints) -> RowBlock:
    """One row a key, from the facts and the sums of the windows of its state."""
    at = places(view)
    numbers = np.empty(_SUMS + fold.FACTS, np.int64)
    whole, doubles = np.empty((len(keys), len(at.whole)), np.int64), np.empty((len(keys), len(at.over)), np.float64)
    _fill(facts, sums.reshape(-1, _SUMS), at.whole, at.unknown, at.over, at.under, numbers, whole, doubles)
    return RowBlock(at.layout, keys, whole, doubles)


@compiled_briefly
def _fill(
    facts: Ints,
    sums: Ints,
    places: Ints,
    unknown: Ints,
    over: Ints,
    under: Ints,
    numbers: Ints,
    whole: Whole,
    doubles: Doubles,
) -> None:
    """Fills in the columns of rows. `numbers` is room for those of one."""
    for row in range(len(facts)):
        numbers[:_SUMS], numbers[_SUMS:] = sums[row], facts[row]
        for column in range(len(places)):
            whole[row, column] = numbers[places[column]]
        for column in unknown:
            if whole[row, column] < 0:
                whole[row, column] = NULL
        for column in range(len(over)):
            divisor = numbers[under[column]]
            doubles[row, column] = numbers[over[column]] / divisor if divisor else np.nan


def due(facts: Ints) -> Ints:
    """When the row of each state next changes with no event, ms; NEVER where it does not."""
    return facts[:, fold.DUE]
