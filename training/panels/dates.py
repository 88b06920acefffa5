"""A column of dates as days: how they can be written, which day a timestamp is of, and what is odd about them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl

from training.panels.columns import unreadable

FIRST, LAST = dt.date(1900, 1, 1), dt.date(2199, 12, 31)  # beyond them a number was taken for a date, or a year has two digits
# the first that all dates follow is taken: where a date can be read day first and month first, that is day first
WRITTEN = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "%m/%d/%Y", "%m-%d-%Y")
MONTH_FIRST = {"%d/%m/%Y": "%m/%d/%Y", "%d-%m-%Y": "%m-%d-%Y"}
TIMESTAMP = (
    r"^\s*(?<date>\S+?)(?:[T ](?<hour>[01]\d|2[0-3]):(?<minute>[0-5]\d)(?::(?<second>[0-5]\d)(?:\.\d+)?)?"
    r"(?<offset>Z|[+-]\d{2}:?\d{2})?)?\s*$"
)
ACCEPTED = "Days such as 2025-06-30, as dates, as timestamps or as texts; `rd360 data from-csv --date-format` reads others."
EPOCH, PYTHON_DAYS = dt.date(1970, 1, 1), range(-719_162, 2_932_897)  # dates are kept as days after it; a `dt.date` has these
DAY_TICKS = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
MONTH = 28  # days in the shortest


@dataclass(frozen=True, slots=True)
class Note:
    """What is odd in how the dates were read: of how many rows, and the first value."""

    what: str
    count: int
    first: str


@dataclass(frozen=True, slots=True)
class Days:
    """The day of each row; `times` is how many times of day occur."""

    days: pl.Series
    times: int
    notes: tuple[Note, ...]


def days_of(column: pl.Series, where: str, *, timezone: str = "UTC", written: str | None = None) -> Days:
    """Days of dates, timestamps or texts; a timestamp with a zone has to be a midnight in `timezone`.

    `written` is the format of texts, told from them without it. Raises DataGateError naming the first value that is no date.
    """
    kind = column.dtype
    if kind in (pl.String, pl.Categorical, pl.Enum):
        return _of_texts(column.cast(pl.String), where, written)
    if kind in (pl.Date, pl.Null):
        return Days(_in_range(column.cast(pl.Date), where), 1, ())
    if not isinstance(kind, pl.Datetime):
        example = f", such as {column.drop_nulls()[0]}" if column.count() else ""
        several = ": numbers can be taken for days in several ways" if kind.is_numeric() else ""
        why = f"{column.name} is of type {kind}{example}{several}"
        raise unreadable(where, column.name, why, ACCEPTED)
    local = _in_range(column, where)
    if kind.time_zone is None:
        return _noted(local.dt.date(), local.dt.time(), column)
    local = local.dt.convert_time_zone(timezone)
    late = local.filter(local.dt.time() != dt.time())
    if len(late):
        why = f"{len(late):,} timestamps, such as {late[0]}, have times of day: midnights of another zone than {timezone} need "
        raise unreadable(
            where, column.name, f"{why}`timezone` in dataset.json, hours have to be added up to days first", ACCEPTED
        )
    return Days(local.dt.date(), 1, ())


def too_far_apart(days: pl.Series, step_days: int) -> str:
    """Why dates that are to be `step_days` apart are sums of longer periods; empty where two of them are closer than a month."""
    steps = days.drop_nulls().unique().sort().diff().drop_nulls().dt.total_days()
    closest = int(steps.min() or 0) if len(steps) > 1 else 0  # type: ignore[arg-type]
    if closest < MONTH:
        return ""
    sums = "sums of months are neither days nor weeks"
    return f"no two dates with units are less than {closest} days apart, a period has {step_days}: {sums}"


def _of_texts(column: pl.Series, where: str, written: str | None) -> Days:
    texts = column.drop_nulls().unique(maintain_order=True)
    parts = pl.DataFrame({"text": texts, "date": texts}) if written else _taken_apart(texts)
    chosen = written or _reading(parts["date"])
    day = _read(parts["date"], chosen)
    if day.null_count():
        bad = parts["text"].filter(day.is_null())
        why = f"{len(bad):,} texts, such as {bad[0]!r}, are no dates written as {chosen}"
        raise unreadable(where, column.name, why, ACCEPTED)
    if written:
        return Days(_spread(column, texts, day), 1, ())
    clock = parts.select(
        pl.time(*(pl.col(unit).cast(pl.Int32).fill_null(0) for unit in ("hour", "minute", "second")))
    ).to_series()
    abroad = parts["text"].filter(parts["offset"].is_not_null() & (clock != dt.time()))
    if len(abroad):
        why = f"{len(abroad):,} texts, such as {abroad[0]!r}, are instants of another zone, whose day of the store is not known"
        raise unreadable(
            where, column.name, why, "Timestamps with a zone in panel.parquet and `timezone` in dataset.json, or days."
        )
    read = _noted(_spread(column, texts, day), _spread(column, texts, clock), column)
    return Days(read.days, read.times, (*read.notes, *_other_reading(column, parts["date"], day, chosen)))


def _taken_apart(texts: pl.Series) -> pl.DataFrame:
    groups = texts.str.extract_groups(TIMESTAMP).struct.unnest()
    return groups.with_columns(texts.alias("text"), pl.col("date").fill_null(texts))


def _reading(texts: pl.Series) -> str:
    """The first way of writing that most of the texts follow."""
    return min(WRITTEN, key=lambda way: _read(texts, way).null_count())


def _read(texts: pl.Series, way: str) -> pl.Series:
    day = texts.str.to_date(way, strict=False)
    return day.set(~day.is_between(FIRST, LAST), None)  # year 24 is 2024 written with two digits


def _spread(column: pl.Series, texts: pl.Series, values: pl.Series) -> pl.Series:
    """[row] what each text was read as: a text is read once, however many rows have it."""
    return column.replace_strict(texts, values, return_dtype=values.dtype)


def _other_reading(column: pl.Series, texts: pl.Series, day: pl.Series, chosen: str) -> tuple[Note, ...]:
    other = MONTH_FIRST.get(chosen)
    swapped = None if other is None else _read(texts, other)
    if swapped is None or swapped.null_count() or (swapped == day).all():
        return ()
    what = f"dates that can be read day first, as they were, or month first: `from-csv --date-format {other}` takes them so"
    return (Note(what, column.drop_nulls().len(), str(texts.filter(swapped != day)[0])),)


def _noted(days: pl.Series, clock: pl.Series, column: pl.Series) -> Days:
    late = column.filter(clock != dt.time())
    notes = (Note("dates that are not at midnight: the day as written is taken", len(late), str(late[0])),) if len(late) else ()
    return Days(days, clock.drop_nulls().n_unique(), notes)


def _in_range(column: pl.Series, where: str) -> pl.Series:
    """The column of dates or timestamps itself. Raises DataGateError where one is of no year of sales."""
    kind = column.dtype
    ticks = DAY_TICKS[kind.time_unit] if isinstance(kind, pl.Datetime) else 1
    number = column.to_physical() // ticks  # Polars panics on a date that it cannot show
    beyond = ~number.is_between((FIRST - EPOCH).days, (LAST - EPOCH).days)
    if beyond.any():
        first = int(number.filter(beyond)[0])
        shown = str(EPOCH + dt.timedelta(days=first)) if first in PYTHON_DAYS else f"{first} days after {EPOCH}"
        why = f"{int(beyond.sum()):,} dates, such as {shown}, are not between {FIRST} and {LAST}"
        raise unreadable(where, column.name, why, ACCEPTED)
    return column
