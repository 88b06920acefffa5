"""Public holidays as plain rows: those that the `holidays` library knows of a country, and those of a file of the user's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from contracts.errors import ConfigurationError, DataGateError, UsageError
from contracts.settings import Settings
from contracts.topics import ALL_STORES

NO_HOLIDAYS = ""  # the setting of a chain or store that keeps none
DAY, NAME, STORE_ID = "day", "name", "store_id"
_SHOWN = 5
_DOING = "reading the calendar"
_HINT = "docs/lake.md describes the file."


@dataclass(frozen=True, slots=True, order=True)
class OwnDay:
    """One holiday of a file: of one store, or of all (`ALL_STORES`)."""

    store_id: str
    day: dt.date
    name: str


def library_days(place: str, years: Iterable[int]) -> list[tuple[dt.date, str]]:
    """The public holidays of a country or one of its parts, such as `GB-ENG`, in order; several names of one day in one text.

    Raises ConfigurationError where the library does not know the place.
    """
    from holidays import country_holidays  # half a second that only this needs

    if place == NO_HOLIDAYS:
        return []
    country, _, subdivision = place.partition("-")
    try:
        return sorted(country_holidays(country, subdiv=subdivision or None, years=list(years)).items())
    except NotImplementedError as error:
        raise ConfigurationError(
            f"There are no holidays of {place}",
            doing="making the calendar",
            why=str(error),
            hint="RD360_HOLIDAYS and RD360_STORE_HOLIDAYS take ISO 3166 codes; `rd360 lake calendar` takes your own days.",
        ) from error


def require_known(settings: Settings) -> None:
    """Raises ConfigurationError where the library does not know a place that the settings name."""
    for place in sorted({settings.holidays, *settings.store_holidays.values()}):
        library_days(place, [])


def places(stores: Iterable[str], own: Iterable[str], chain: str, of_store: Mapping[str, str]) -> dict[str, str]:
    """Whose holidays a store keeps: `file:` and the store_id that the file's rows have, or the place that the settings name.

    `own` is the store_ids of the file. Where it has rows for all stores, no store keeps the library's days; where it has not,
    those do that it does not name.
    """
    named = set(own)
    others = file_key(ALL_STORES) if ALL_STORES in named else None
    return {
        store: file_key(store) if store in named else others if others is not None else of_store.get(store, chain)
        for store in sorted(set(stores))
    }


def file_key(store_id: str) -> str:
    """The name under which a store's days of the file stand beside the library's places."""
    return f"file:{store_id}"


def own_days_of(own: Sequence[OwnDay], store_id: str) -> list[tuple[dt.date, str]]:
    """The holidays that a store has by the file: its own and, where it has none on a day, those of all stores."""
    days = {each.day: each.name for each in own if each.store_id == ALL_STORES}
    days |= {each.day: each.name for each in own if each.store_id == store_id}
    return sorted(days.items())


def read_own_days(path: Path) -> list[OwnDay]:
    """The holidays of a Parquet or CSV file with `day`, `name` and, where a holiday is not of all stores, `store_id`; in order.

    Raises UsageError where it cannot be read as such a file, DataGateError naming the first rows that are no holiday.
    """
    table = _table(path)
    missing = {DAY, NAME} - set(table.column_names)
    if missing:
        raise UsageError(f"{path} has no column {', '.join(sorted(missing))}", doing=_DOING, hint=_HINT)
    faults: list[str] = []
    days: dict[tuple[str, dt.date], OwnDay] = {}
    wanted = [name for name in (STORE_ID, DAY, NAME) if name in table.column_names]
    for number, row in enumerate(table.select(wanted).to_pylist(), start=1):
        holiday = _own_day(row)
        if isinstance(holiday, str):
            faults.append(f"row {number}: {holiday}")
        elif days.setdefault((holiday.store_id, holiday.day), holiday) != holiday:
            faults.append(f"row {number}: {holiday.day} of store {holiday.store_id} has another name in an earlier row")
    if faults:
        raise DataGateError(
            f"{len(faults)} rows of {path} are no holidays", doing=_DOING, why="; ".join(faults[:_SHOWN]), hint=_HINT
        )
    return sorted(days.values())


def _table(path: Path) -> pa.Table:
    try:
        if path.suffix == ".parquet":
            return pa.parquet.read_table(path)
        if path.suffix == ".csv":
            as_text = pa.csv.ConvertOptions(column_types=dict.fromkeys((STORE_ID, DAY, NAME), pa.string()))
            return pa.csv.read_csv(path, convert_options=as_text)
    except (OSError, pa.ArrowInvalid) as error:
        raise UsageError(f"{path} cannot be read", doing=_DOING, why=str(error).splitlines()[0], hint=_HINT) from error
    raise UsageError(f"{path} is neither .parquet nor .csv", doing=_DOING, hint=_HINT)


def _own_day(row: Mapping[str, Any]) -> OwnDay | str:
    """The row's holiday, or what is wrong with it."""
    day, name, store = row[DAY], str(row[NAME] or "").strip(), row.get(STORE_ID)
    if not isinstance(day, dt.date):
        try:
            day = dt.date.fromisoformat(str(day).strip())
        except ValueError:
            return f"{day!r} is not a day such as 2026-12-25"
    if isinstance(day, dt.datetime):
        if day.time() != dt.time():
            return f"{day} is an instant, not a day"
        day = day.date()
    if not name:
        return "the holiday has no name"
    return OwnDay(str(store).strip() if store not in (None, "") else ALL_STORES, day, name)
