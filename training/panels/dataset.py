"""What a panel folder says about itself: period, season, horizon, origins, unit."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.errors import DataGateError
from training.panels.feasts import country_of, is_known

STEP_DAYS = {"D": 1, "W": 7}
DEFAULT_SEASON = {"D": 7, "W": 52}
DEFAULT_HORIZON = {"D": 14, "W": 8}
DATASET_FILE = "dataset.json"


@dataclass(frozen=True, slots=True)
class Dataset:
    """The facts of `dataset.json` that a forecast needs; lengths are in periods, an origin is the last period of history."""

    name: str
    freq: str
    season_length: int
    horizon: int
    origins: tuple[dt.date, ...] = ()
    unit: str = "units"
    timezone: str = "UTC"
    country: str = ""  # ISO 3166, whose public holidays the stores keep; empty: not known
    notes: tuple[str, ...] = field(default=())  # what was assumed, in words

    @property
    def step_days(self) -> int:
        """Days in a period."""
        return STEP_DAYS[self.freq]


def read_dataset(folder: Path) -> Dataset:
    """The folder's `dataset.json`. Raises DataGateError where it is missing, unreadable or says something impossible."""
    path = folder / DATASET_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _bad(path, "there is no such file", "Make one with `rd360 data from-csv`, or see docs/forecasting.md.") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _bad(path, f"it is not JSON ({error})") from error
    if not isinstance(raw, dict):
        raise _bad(path, "it is not a JSON object")
    return parse_dataset(raw, path)


def parse_dataset(raw: dict[str, Any], path: Path) -> Dataset:
    """The facts out of the JSON object; without a `freq` (receipts only) a period is a day."""
    notes = []
    freq = raw.get("freq")
    if freq is None:
        freq = "D"
        notes.append("no freq is given: periods are days")
    if freq not in STEP_DAYS:
        raise _bad(path, f"freq is {freq!r}", "D for days or W for weeks.")
    origins = raw.get("origins") or []
    try:
        days = tuple(sorted(dt.date.fromisoformat(origin) for origin in origins))
    except (TypeError, ValueError) as error:
        raise _bad(path, f"an origin is not a date: {origins!r}", "Dates such as 2025-06-30.") from error
    timezone = _timezone(raw, path)
    return Dataset(
        name=str(raw.get("name") or path.parent.name),
        freq=freq,
        season_length=_periods(raw, "season_length", DEFAULT_SEASON[freq], path),
        horizon=_periods(raw, "horizon", DEFAULT_HORIZON[freq], path),
        origins=days,
        unit=str(raw.get("unit") or "units"),
        timezone=timezone,
        country=_country(raw, timezone, path),
        notes=tuple(notes),
    )


def _periods(raw: dict[str, Any], name: str, default: int, path: Path) -> int:
    value = raw.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _bad(path, f"{name} is {value!r}", "A whole number of periods, at least 1.")
    return value


def _timezone(raw: dict[str, Any], path: Path) -> str:
    given = raw.get("timezone") or "UTC"
    try:
        return ZoneInfo(given).key
    except (TypeError, ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise _bad(path, f"timezone is {given!r}", "A name such as America/New_York or UTC.") from error


def _country(raw: dict[str, Any], timezone: str, path: Path) -> str:
    """The one that is given, else that of the time zone, if there is one whose holidays are known."""
    given = raw.get("country")
    if given is not None and (not isinstance(given, str) or (given and not is_known(given))):
        raise _bad(path, f"country is {given!r}", "An ISO 3166 code such as US or GB-ENG; an empty text for none.")
    if given is not None:
        return str(given)
    country = country_of(timezone)
    return country if country and is_known(country) else ""


def _bad(path: Path, why: str, hint: str = "") -> DataGateError:
    return DataGateError(
        f"{path.name} of {path.parent.name} cannot be used",
        doing="reading what the data set says about itself",
        why=why,
        hint=hint or "The layout is in docs/forecasting.md.",
    )
