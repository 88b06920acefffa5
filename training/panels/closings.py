"""Days on which whole stores sell nothing though they usually would: those of the past, and those to expect.

A shop that shuts on Christmas Day did not lose its customers, and will shut again. Only a panel of days without `x_open` is
asked: who brings a calendar knows better. A weekday on which a store never sells is no closing day: trees learn it. And where
few buy a lot at a time, a day without a sale is none either: such a store has many days on which hardly anything is sold.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from dateutil.easter import easter

from training.panels.feasts import feasts
from training.panels.groups import added
from training.panels.history import Counts
from training.panels.panel import OPEN, Panel
from training.rows import Flags, Floats

MIN_SELLERS = 10  # series that sell on such a day as a rule: by chance alone, none of so many sells on one day in 20,000
POOR, MAX_POOR = 0.5, 0.02  # of what is usual, and the share of a store's days that may lie below it
MIN_DAYS = 56  # by which a store is known
WEEKS = 4  # before and after, whose same weekday is what is usual
EASTER = (-3, -2, -1, 0, 1, 39, 49, 50, 60)  # days from Easter Sunday to the feasts that move with it
FEASTS = {(1, 1), (5, 1), (12, 25), (12, 26)}  # to have been shut once is no accident on these, nor on those that move
TWICE = 2  # closings on any other day of the year: one may have been an accident
CHRISTMAS = (12, 25)


def closings(panel: Panel, origin: int, horizon: int) -> Flags | None:
    """[series, column], up to the end of the horizon: where the store was shut, or is expected to be; None where nowhere.

    Reads units up to the origin (a column).
    """
    if panel.dataset.freq != "D" or OPEN in panel.known or origin < 0:
        return None
    store = np.unique(panel.stores, return_inverse=True)[1]
    sold = np.where(np.isnan(panel.units[:, : origin + 1]), np.nan, (panel.units[:, : origin + 1] != 0).astype(np.float32))
    judged, shut = _shut(*(np.concatenate([part, part.sum(axis=0, keepdims=True)]) for part in added(sold, store)))  # last: all
    days = [panel.date_of(column) for column in range(origin + 1 + horizon)]
    expected = _expected(judged, shut, days, feasts(panel.dataset.country, days))
    found = np.concatenate([shut[:-1] | shut[-1:], expected], axis=1)[store]
    return found if found.any() else None


def _shut(sellers: Floats, known: Counts) -> tuple[Flags, Flags]:
    """[store, column]: whether a day without a sale would tell that the store was shut, and whether there was none."""
    usual = _usual(sellers)
    judged = (usual >= MIN_SELLERS) & (known > 0)
    poor = judged & (sellers > 0) & (sellers < POOR * usual)
    number = judged.sum(axis=1, keepdims=True)
    regular = (number >= MIN_DAYS) & (poor.sum(axis=1, keepdims=True) <= MAX_POOR * number)
    return judged, judged & (sellers == 0) & regular


def _expected(judged: Flags, shut: Flags, days: Sequence[dt.date], names: Mapping[dt.date, str]) -> Flags:
    """[store, lead]: after the columns of the past; the last row of `judged` and `shut` is all stores: it speaks for new ones."""
    past = judged.shape[1]
    columns = _columns(days[:past], names)
    expected = np.zeros((len(judged) - 1, len(days) - past), dtype=np.bool_)
    for lead, day in enumerate(days[past:]):
        for key, times in _keys(day, names):
            seen, kept = (matrix[:, columns.get(key, [])].sum(axis=1) for matrix in (judged, shut))
            closes = (seen >= times) & (kept == seen)
            expected[:, lead] |= np.where(seen[:-1] > 0, closes[:-1], closes[-1])
        if (day.month, day.day) == CHRISTMAS and CHRISTMAS not in columns and day in names:
            expected[:, lead] = True
    return expected


def _usual(sellers: Floats) -> Floats:
    """[row, column]: the mean of the same weekday in the weeks around, of which those outside the history are left out."""
    width, total, number = sellers.shape[1], np.zeros_like(sellers), np.zeros(sellers.shape[1])
    for weeks in (*range(-WEEKS, 0), *range(1, WEEKS + 1)):
        there = np.arange(max(0, -7 * weeks), min(width, width - 7 * weeks))
        total[:, there] += sellers[:, there + 7 * weeks]
        number[there] += 1
    return total / np.maximum(number, 1)


def _columns(days: Sequence[dt.date], names: Mapping[dt.date, str]) -> dict[object, list[int]]:
    """Key -> the columns of the past that have it."""
    found: dict[object, list[int]] = {}
    for column, day in enumerate(days):
        for key, _ in _keys(day, names):
            found.setdefault(key, []).append(column)
    return found


def _keys(day: dt.date, names: Mapping[dt.date, str]) -> Iterator[tuple[object, int]]:
    """By what a day comes again, and how often a store must have been shut on it."""
    date = (day.month, day.day)
    yield date, 1 if date in FEASTS else TWICE
    after = (day - easter(day.year)).days
    if after in EASTER:
        yield after, 1
    if day in names:
        yield names[day], 1
