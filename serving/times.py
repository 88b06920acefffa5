"""Times between the inside (ms, local day numbers) and the outside (datetimes, dates)."""

from __future__ import annotations

import datetime as dt
from typing import overload

from contracts.windows import EPOCH

_START = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def date_of(day: int) -> dt.date:
    """The date of a local day number."""
    return EPOCH + dt.timedelta(days=day)


@overload
def utc(milliseconds: int) -> dt.datetime: ...
@overload
def utc(milliseconds: None) -> None: ...
def utc(milliseconds: int | None) -> dt.datetime | None:
    """The instant as a UTC datetime; exact, where a float of seconds would not be."""
    return None if milliseconds is None else _START + dt.timedelta(milliseconds=milliseconds)


def ms(instant: dt.datetime | None) -> int | None:
    """The instant as milliseconds since the epoch, rounded down."""
    return None if instant is None else (instant - _START) // dt.timedelta(milliseconds=1)
