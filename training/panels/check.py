"""What a panel folder holds and what is wrong with it: one finding per problem, with how many rows and the first of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from contracts.errors import DataGateError
from training.panels.attributes import ENTITIES, read_attributes
from training.panels.dataset import Dataset, read_dataset
from training.panels.dates import days_of, too_far_apart
from training.panels.files import CHECK_IT
from training.panels.lines import KEYS
from training.panels.panel import OPEN
from training.panels.read import KNOWN_PREFIX, dates_with_units, is_covariate, read_rows, typed

ERROR, WARNING = "error", "warning"  # an error keeps the engine from reading the panel; a warning is worth a look
SHORT = {"D": 28, "W": 26}
MANY_MISSING = 0.05  # of the rows: a panel of sales alone, in which what did not sell has no row
FAR = 100  # times a series' 95 % quantile: an order that was booked wrong, or a unit that was mixed up


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or odd: how many rows or series, and an example."""

    level: str
    what: str
    count: int
    example: str


@dataclass(frozen=True, slots=True)
class Report:
    """`facts` say what there is; with an error among the findings the panel cannot be used."""

    facts: dict[str, Any]
    findings: list[Finding]

    @property
    def usable(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.level == ERROR for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The report as one JSON document."""
        return {"usable": self.usable, "facts": self.facts, "findings": [asdict(finding) for finding in self.findings]}


def check(folder: Path) -> Report:
    """The report of a folder; of what cannot be read at all it has a finding alone."""
    attributes = [finding for name in ENTITIES for finding in _attributes(folder, name)]
    try:
        dataset = read_dataset(folder)
        rows = read_rows(folder, dataset)
        frame = typed(rows, folder.name, dataset.timezone)
    except DataGateError as error:
        return Report({"folder": folder.name}, [_refused(error), *attributes])
    if frame.is_empty():
        return Report({"name": dataset.name}, [Finding(ERROR, "the panel has no rows", 0, ""), *attributes])
    return Report(facts_of(frame, dataset), [*attributes, *findings_of(frame, dataset), *_written(rows, dataset)])


def _attributes(folder: Path, name: str) -> Iterator[Finding]:
    key = ENTITIES[name]
    try:
        rows = read_attributes(folder, name)
    except DataGateError as error:
        yield _refused(error)
        return
    if rows is not None and (again := rows.filter(pl.col(key).is_duplicated())).height:
        what = f"rows of {name}.parquet with one {key}, more than one: the first counts"
        yield Finding(WARNING, what, again.height, str(again[key][0]))


def _refused(error: DataGateError) -> Finding:
    return Finding(ERROR, str(error), 1, "" if error.hint == CHECK_IT else error.hint)


def _written(rows: pl.DataFrame, dataset: Dataset) -> Iterator[Finding]:
    """What is odd in how the columns are written, before they are read as days and numbers."""
    for note in days_of(rows["date"], dataset.name, timezone=dataset.timezone).notes:
        yield Finding(WARNING, note.what, note.count, note.first)
    for name, kind in rows.schema.items():
        if name.startswith(KNOWN_PREFIX) and not is_covariate(kind):
            yield Finding(WARNING, f"{name} is neither numbers nor texts: left out", 1, str(kind))
    if OPEN in rows.columns and is_covariate(rows.schema[OPEN]) and not _is_flag(rows.schema[OPEN]):
        texts = rows[OPEN].drop_nulls()
        what = f"{OPEN} is texts: taken for a covariate like any other, not for opening; 0 is closed, 1 is open"
        yield Finding(WARNING, what, len(texts), str(texts.first()))


def _is_flag(kind: pl.DataType) -> bool:
    return kind.is_numeric() or kind == pl.Boolean


def facts_of(frame: pl.DataFrame, dataset: Dataset) -> dict[str, Any]:
    """What there is: size, span, columns, zeros, nulls, stock."""
    units = frame["units"]
    known = units.drop_nulls()
    facts = {
        "name": dataset.name,
        "freq": dataset.freq,
        "season_length": dataset.season_length,
        "horizon": dataset.horizon,
        "origins": [origin.isoformat() for origin in dataset.origins],
        "unit": dataset.unit,
        "country": dataset.country or None,
        "rows": frame.height,
        "series": frame.select(KEYS).n_unique(),
        "stores": frame["store_id"].n_unique(),
        "products": frame["product_id"].n_unique(),
        "first": str(frame["date"].min()),
        "last": str(frame["date"].max()),
        "units_unknown_share": units.null_count() / frame.height,
        "zero_share": _share(known == 0),
        "whole_units": bool((known == known.round(0)).all()),
        "columns": {name: 1 - frame[name].null_count() / frame.height for name in frame.columns if name not in ("date", *KEYS)},
        "assumed": list(dataset.notes),
    }
    if "in_stock" in frame.columns and frame["in_stock"].null_count() < frame.height:
        facts["full_stock_share"] = _share(frame["in_stock"].drop_nulls() >= 1)
    return facts


def findings_of(frame: pl.DataFrame, dataset: Dataset) -> Iterator[Finding]:
    """Errors first, then what is odd."""
    for level, what, rows in _row_checks(frame, dataset):
        if rows.height:
            yield Finding(level, what, rows.height, _example(rows))
    for check_series in (_months, _weeks, _nothing, _gaps, _no_zero, _short, _far, _ended):
        finding = check_series(frame, dataset)
        if finding is not None:
            yield finding
    yield from _origins(frame, dataset)


def _row_checks(frame: pl.DataFrame, dataset: Dataset) -> Iterator[tuple[str, str, pl.DataFrame]]:
    keys = ["date", *KEYS]
    off = (pl.col("date") - pl.col("date").min()).dt.total_days() % dataset.step_days != 0
    yield ERROR, "rows without a date, store or product", frame.filter(pl.any_horizontal(pl.col(keys).is_null()))
    yield ERROR, "rows of one series and period, more than one", frame.filter(pl.struct(keys).is_duplicated())
    yield ERROR, f"dates that are not {dataset.step_days} days apart", frame.filter(off)
    yield WARNING, "units that are not a finite number", frame.filter(pl.col("units").is_nan() | pl.col("units").is_infinite())
    yield WARNING, "negative units: returns, or a sign that is wrong; forecasts are at least 0", frame.filter(pl.col("units") < 0)
    if "in_stock" in frame.columns:
        yield WARNING, "in_stock outside 0 to 1", frame.filter((pl.col("in_stock") < 0) | (pl.col("in_stock") > 1))
        sold_out = frame.filter((pl.col("in_stock") == 0) & (pl.col("units") > 0))
        yield WARNING, "sales while in_stock is 0: is the flag turned round?", sold_out
    if OPEN in frame.columns:
        shut = frame.filter((pl.col(OPEN) == 0) & (pl.col("units") > 0))
        turned = ": is it turned round?" if 2 * shut.height > frame.filter(pl.col("units") > 0).height else ""
        yield WARNING, f"sales while {OPEN} is 0, for which 0 is forecast{turned}", shut
    for name in ("price_cents", "base_price_cents"):
        if name in frame.columns:
            yield WARNING, f"{name} that is 0 or less: taken as unknown", frame.filter(pl.col(name) <= 0)
    for name in (name for name in frame.columns if name.startswith(KNOWN_PREFIX)):
        last = frame.filter(pl.col("date") == pl.col("date").max())
        yield WARNING, f"{name} unknown in the last period, though it is to be known ahead", last.filter(pl.col(name).is_null())


def _gaps(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    spans = frame.group_by(KEYS).agg(
        (
            (pl.col("date").max() - pl.col("date").min()).dt.total_days() // dataset.step_days + 1 - pl.col("date").n_unique()
        ).alias("gaps"),
        pl.col("date").min(),
    )
    rows = spans.filter(pl.col("gaps") > 0)
    return _series_finding(rows, f"series with missing periods, {int(rows['gaps'].sum()):,} in all: unknown, not 0")


def _months(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    sums = too_far_apart(dates_with_units(frame), dataset.step_days)
    return Finding(ERROR, f"{sums}, and freq is {dataset.freq}", 1, "") if sums else None


def _weeks(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    steps = dates_with_units(frame).unique().sort().diff().drop_nulls().dt.total_days()
    if dataset.freq != "D" or len(steps) < 2 or not (steps % 7 == 0).all():
        return None
    return Finding(WARNING, "all dates with units are whole weeks apart, and freq is D: sums of weeks?", len(steps), "")


def _nothing(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:  # noqa: ARG001  # one of several checks alike
    if dates_with_units(frame).len():
        return None
    return Finding(ERROR, "units are known of no row", frame.height, _example(frame))


def _no_zero(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    """Where days without a sale may have been left out, as rows that are not there or as nulls."""
    known = frame.filter(pl.col("units").is_finite())
    spans = known.group_by(KEYS).agg((pl.col("date").max() - pl.col("date").min()).dt.total_days() // dataset.step_days + 1)
    missing = int(spans["date"].sum()) - known.height
    if known.is_empty() or (known["units"] == 0).any() or missing < MANY_MISSING * known.height:
        return None
    what = "periods are unknown and no row is 0: were they without a sale? Then write zeros (`from-csv --gaps-are-zero`):"
    return Finding(
        WARNING, f"{what} as they are, means are of the periods with a sale alone", missing, _example(known.sort(KEYS))
    )


def _short(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    need = SHORT[dataset.freq]
    known = frame.group_by(KEYS).agg(pl.col("units").count().alias("known"), pl.col("date").min())
    return _series_finding(
        known.filter(pl.col("known") < need), f"series with fewer than {need} known periods: forecast from their groups"
    )


def _far(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:  # noqa: ARG001  # one of several checks alike
    usual = pl.col("units").quantile(0.95).over(KEYS)
    rows = frame.filter((usual > 0) & (pl.col("units") > FAR * usual))
    return _series_finding(
        rows.unique(KEYS, keep="first", maintain_order=True), f"series with a value over {FAR} times its 95 % quantile"
    )


def _ended(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    sold = frame.filter(pl.col("units") > 0).group_by(KEYS).agg(pl.col("date").max())
    limit = _span(frame)[1] - dt.timedelta(days=SHORT[dataset.freq] * dataset.step_days)
    return _series_finding(
        sold.filter(pl.col("date") < limit), f"series without a sale in the last {SHORT[dataset.freq]} periods"
    )


def _origins(frame: pl.DataFrame, dataset: Dataset) -> Iterator[Finding]:
    first, last = _span(frame)
    step = dt.timedelta(days=dataset.step_days)
    rules: list[tuple[str, Callable[[dt.date], bool]]] = [
        ("origins outside the panel", lambda day: not first <= day <= last),
        ("origins that are not the first day of a period", lambda day: (day - first).days % dataset.step_days != 0),
        ("origins without a whole horizon after them", lambda day: day + dataset.horizon * step > last),
    ]
    for what, broken in rules:
        wrong = [origin for origin in dataset.origins if broken(origin)]
        if wrong:
            yield Finding(WARNING, what, len(wrong), str(wrong[0]))


def _span(frame: pl.DataFrame) -> tuple[dt.date, dt.date]:
    return cast("dt.date", frame["date"].min()), cast("dt.date", frame["date"].max())


def _share(truth: pl.Series) -> float | None:
    return float(truth.sum() / len(truth)) if len(truth) else None


def _series_finding(rows: pl.DataFrame, what: str) -> Finding | None:
    return Finding(WARNING, what, rows.height, _example(rows.sort(KEYS))) if rows.height else None


def _example(rows: pl.DataFrame) -> str:
    return " ".join(str(value) for value in rows.select(*KEYS, "date").row(0))
