"""Rolling origins: which store-local days a candidate is judged on, and which come before them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from contracts.errors import DataGateError
from contracts.windows import EPOCH, Calendar
from training.rows import HORIZON, Daily, History, Rows

MIN_TRAINING_DAYS = 21  # three of each weekday before the first origin
CALIBRATION_DAYS = 14


@dataclass(frozen=True, slots=True)
class Plan:
    """The origins, ascending: local days at which a forecast is made for `horizon` days, that day included."""

    origins: tuple[int, ...]
    horizon: int


def plan_origins(first_day: int, last_day: int, count: int = 2, horizon: int = HORIZON) -> Plan:
    """Origins a horizon apart, the last one with its whole horizon known; fewer, then nearer ones, where history is short.

    `last_day` is the last complete day. Raises DataGateError where not even one day can be judged after MIN_TRAINING_DAYS.
    """
    judged = last_day - first_day + 1 - MIN_TRAINING_DAYS
    if judged < 1:
        raise DataGateError(
            f"{last_day - first_day + 1} complete days of history are too few to train on",
            doing="planning the backtest",
            why=f"{MIN_TRAINING_DAYS} days come before the first origin and one after it",
            hint="Let more history arrive, or simulate it: `./rd360 produce simulate --days 120`.",
        )
    horizon = min(horizon, judged)
    count = max(1, min(count, judged // horizon))
    return Plan(tuple(last_day + 1 - horizon * back for back in range(count, 0, -1)), horizon)


def history_at(rows: Rows, daily: Daily, origin_day: int) -> History:
    """What was known at the start of a local day: no row whose target day is that day or later, no day from it on."""
    known = (rows.target_day < origin_day) & ~np.isnan(rows.target)
    return History(rows.where(known), daily.before(origin_day), origin_day)


def calibration_split(history: History) -> tuple[History, Rows]:
    """The history up to its last CALIBRATION_DAYS (a third of it where it is short), and the rows after that as-of day."""
    days = history.origin_day - int(np.min(history.rows.as_of_day))
    cut = history.origin_day - max(1, min(CALIBRATION_DAYS, days // 3))
    return history_at(history.rows, history.daily, cut), history.rows.where(history.rows.as_of_day >= cut)


def snapshot_instants(calendar: Calendar, day: int, hours: Sequence[int]) -> list[int]:
    """The as-of times of the snapshot grid on a local day, ms. An hour that clocks skip is read as the hour after it."""
    date = EPOCH + dt.timedelta(days=day)
    return [_instant(calendar, day, date, hour) for hour in hours]


def _instant(calendar: Calendar, day: int, date: dt.date, hour: int) -> int:
    if hour == 0:
        return calendar.day_start(day)
    return int(dt.datetime(date.year, date.month, date.day, hour, tzinfo=calendar.zone).timestamp()) * 1000


def iso_day(day: int) -> str:
    """A local day number as YYYY-MM-DD."""
    return date_of(day).isoformat()


def date_of(day: int) -> dt.date:
    """A local day number as a date."""
    return EPOCH + dt.timedelta(days=int(day))


def day_numbers(dates: Iterable[dt.date]) -> list[int]:
    """Dates as local day numbers."""
    return [(date - EPOCH).days for date in dates]
