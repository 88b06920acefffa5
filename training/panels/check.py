"""What a panel folder holds and what is wrong with it: one finding per problem, with how many rows and the first of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import polars as pl

from contracts.errors import DataGateError
from training.panels.dataset import Dataset, read_dataset
from training.panels.lines import KEYS
from training.panels.panel import OPEN
from training.panels.read import KNOWN_PREFIX, MONTH_DAYS, days_apart, entities, is_covariate, read_frame, schema_of

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
    """The report of a folder; what cannot be read at all is its only finding."""
    try:
        dataset = read_dataset(folder)
        frame = read_frame(folder, dataset)
        attributes = {name: entities(folder, name) for name in ("products", "stores")}
    except DataGateError as error:
        return Report({"folder": folder.name}, [Finding(ERROR, str(error), 1, error.hint)])
    if frame.is_empty():
        return Report({"name": dataset.name}, [Finding(ERROR, "the panel has no rows", 0, "")])
    findings = [*findings_of(frame, dataset), *_unread(folder), *_repeated(attributes)]
    return Report(facts_of(frame, dataset), findings)


def _repeated(attributes: Mapping[str, pl.DataFrame | None]) -> Iterator[Finding]:
    for name, rows in attributes.items():
        key = f"{name.removesuffix('s')}_id"
        if rows is not None and (again := rows.filter(pl.col(key).is_duplicated())).height:
            yield Finding(
                WARNING, f"rows of {name}.parquet with one {key}, more than one: the first counts", again.height, again[key][0]
            )


def _unread(folder: Path) -> Iterator[Finding]:
    for name, kind in schema_of(folder).items():
        if name.startswith(KNOWN_PREFIX) and not is_covariate(kind):
            yield Finding(WARNING, f"{name} is neither numbers nor texts: left out", 1, str(kind))


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
    for check_series in (_months, _nothing, _gaps, _no_zero, _short, _far, _ended):
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
    apart = days_apart(frame)
    if apart is None or apart < MONTH_DAYS:
        return None
    return Finding(ERROR, f"no two dates are less than {apart} days apart, and freq is {dataset.freq}: sums of months?", 1, "")


def _nothing(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:  # noqa: ARG001  # one of several checks alike
    return None if frame["units"].count() else Finding(ERROR, "units are known of no row", frame.height, _example(frame))


def _no_zero(frame: pl.DataFrame, dataset: Dataset) -> Finding | None:
    spans = frame.group_by(KEYS).agg((pl.col("date").max() - pl.col("date").min()).dt.total_days() // dataset.step_days + 1)
    missing = int(spans["date"].sum()) - frame.height
    if (frame["units"] == 0).any() or missing < MANY_MISSING * frame.height:
        return None
    what = "periods are missing and no row is 0: were they without a sale? Then write zeros (`from-csv --gaps-are-zero`):"
    return Finding(
        WARNING, f"{what} as they are, means are of the periods with a sale alone", missing, _example(frame.sort(KEYS))
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
