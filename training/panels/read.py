"""Reads a panel folder into matrices: `panel.parquet` (and an older `history.parquet`), or receipts alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from training.panels.attributes import codes, read_attributes
from training.panels.columns import numbers
from training.panels.dataset import Dataset, read_dataset
from training.panels.dates import days_of, too_far_apart
from training.panels.files import broken, read_table
from training.panels.lines import KEYS, panel_of_lines
from training.panels.panel import Panel
from training.rows import Floats, Ints

PANEL, HISTORY, LINES = "panel.parquet", "history.parquet", "lines.parquet"
OPTIONAL = ("in_stock", "price_cents", "base_price_cents")
KNOWN_PREFIX = "x_"
DAYS_OR_WEEKS = "A panel is daily or weekly: bring sales of each day, or of each week with `freq` W."
MAX_TEXTS = 20  # of a covariate of texts: the rarer ones say too little to be learnt from


def read_panel(folder: Path) -> Panel:
    """The panel of a folder. Raises DataGateError where it has none or breaks the layout."""
    dataset = read_dataset(folder)
    frame = typed(read_rows(folder, dataset), folder.name, dataset.timezone)
    return to_panel(frame, dataset, read_attributes(folder, "products"), read_attributes(folder, "stores"))


def read_rows(folder: Path, dataset: Dataset) -> pl.DataFrame:
    """The rows of the folder as they are written; receipts alone are added up to days."""
    if (folder / PANEL).exists():
        parts = [read_table(folder / name) for name in (HISTORY, PANEL) if (folder / name).exists()]
        try:
            return pl.concat(parts, how="diagonal_relaxed")
        except pl.exceptions.PolarsError as error:
            raise broken(folder.name, f"{HISTORY} and {PANEL} have a column of two types: {error}") from error
    if (folder / LINES).exists():
        return panel_of_lines(read_table(folder / LINES), dataset.timezone)
    raise broken(folder.name, f"it has neither {PANEL} nor {LINES}")


def typed(frame: pl.DataFrame, where: str, timezone: str = "UTC") -> pl.DataFrame:
    """date, store_id, product_id, units and whatever else counts; ids are strings, numbers Float64.

    Raises DataGateError naming the column that cannot be read. A covariate of texts becomes a column of 0 and 1 for each of its
    commonest, such as `x_event=Easter`; of dates, lists and the like nothing is read.
    """
    missing = [name for name in ("date", *KEYS, "units") if name not in frame.columns]
    if missing:
        raise broken(where, f"the panel has no column {', '.join(missing)}; it has {', '.join(frame.columns)}")
    nested = [key for key in KEYS if frame.schema[key].is_nested()]
    if nested:
        raise broken(where, f"{nested[0]} is {frame.schema[nested[0]]}, not one text or number")
    read = days_of(frame["date"], where, timezone=timezone)
    if read.times > 1:
        raise broken(
            where,
            f"date has {read.times:,} times of day, such as {read.notes[0].first}",
            "A panel is daily or weekly: add hours up to days first, such as with `rd360 data from-csv`.",
        )
    values = [numbers(frame[name], where) for name in ("units", *OPTIONAL) if name in frame.columns]
    known = [column for name in sorted(frame.columns) if name.startswith(KNOWN_PREFIX) for column in _covariate(frame, name)]
    return frame.select(read.days.alias("date"), *(pl.col(key).cast(pl.String) for key in KEYS), *values, *known)


def is_covariate(kind: pl.DataType) -> bool:
    """Whether a column of that type can be read as one."""
    return kind.is_numeric() or kind in (pl.Boolean, pl.String, pl.Categorical, pl.Enum)


def _covariate(frame: pl.DataFrame, name: str) -> list[pl.Expr]:
    kind = frame.schema[name]
    if not is_covariate(kind):
        return []
    if kind.is_numeric() or kind == pl.Boolean:
        return [pl.col(name).cast(pl.Float64)]
    texts = pl.col(name).cast(pl.String)
    count = frame.select(texts.alias("text")).drop_nulls().group_by("text").len()
    commonest = count.sort([pl.col("len"), pl.col("text")], descending=[True, False]).head(MAX_TEXTS)["text"].to_list()
    return [(texts == text).fill_null(value=False).cast(pl.Float64).alias(f"{name}={text}") for text in sorted(commonest)]


def to_panel(
    frame: pl.DataFrame, dataset: Dataset, products: pl.DataFrame | None = None, stores: pl.DataFrame | None = None
) -> Panel:
    """Matrices of a typed frame. Raises DataGateError on no rows, repeated rows, null keys and dates off the grid."""
    _check_rows(frame, dataset)
    first = cast("dt.date", frame["date"].min())
    series, row = _series(frame)
    column = (frame["date"] - first).dt.total_days().to_numpy() // dataset.step_days
    shape = (series.height, int(column.max()) + 1)
    _check_once(frame, dataset, row * shape[1] + column, shape[0] * shape[1])

    def matrix(name: str) -> Floats:
        out = np.full(shape, np.nan)
        values = frame[name].fill_null(np.nan).to_numpy()
        out[row, column] = np.where(np.isfinite(values), values, np.nan)
        return out

    def optional(name: str) -> Floats | None:
        return matrix(name) if name in frame.columns and frame[name].drop_nulls().len() else None

    known = {name: matrix(name) for name in frame.columns if name.startswith(KNOWN_PREFIX) and frame[name].drop_nulls().len()}
    return Panel(
        dataset=dataset,
        first=first,
        stores=series["store_id"].to_numpy().astype(np.str_),
        products=series["product_id"].to_numpy().astype(np.str_),
        units=matrix("units"),
        in_stock=optional("in_stock"),
        price=optional("price_cents"),
        base_price=optional("base_price_cents"),
        known=known,
        codes={**codes(series, "products", products), **codes(series, "stores", stores)},
    )


def _series(frame: pl.DataFrame) -> tuple[pl.DataFrame, Ints]:
    """The series in the order of their ids, and [row] which one each is. By numbers: texts of all rows would take gigabytes."""
    ids = {key: frame[key].unique().sort() for key in KEYS}
    store, product = (frame[key].cast(pl.Enum(ids[key])).to_physical().to_numpy().astype(np.int64) for key in KEYS)
    pairs, row = np.unique(store * len(ids["product_id"]) + product, return_inverse=True)
    at = dict(zip(KEYS, np.divmod(pairs, len(ids["product_id"])), strict=True))
    return pl.DataFrame({key: ids[key].gather(at[key]) for key in KEYS}), row.astype(np.int64)


def _check_once(frame: pl.DataFrame, dataset: Dataset, cell: Ints, cells: int) -> None:
    met = np.zeros(cells, dtype=np.bool_)
    met[cell] = True
    if int(met.sum()) == len(cell):
        return
    repeated = frame.filter(frame.select("date", *KEYS).is_duplicated())
    date, store, product = repeated.select("date", *KEYS).row(0)
    raise broken(dataset.name, f"{repeated.height:,} rows are of one series and period, such as {store} {product} {date}")


def _check_rows(frame: pl.DataFrame, dataset: Dataset) -> None:
    if frame.is_empty():
        raise broken(dataset.name, "it has no rows")
    if sum(frame.select(pl.col("date", *KEYS).null_count()).row(0)):
        raise broken(dataset.name, "a row has no date, store or product")
    if not frame["units"].is_finite().any():
        raise broken(dataset.name, "units are known of no row")
    off = (frame["date"] - frame["date"].min()).dt.total_days() % dataset.step_days != 0
    if off.any():
        raise broken(
            dataset.name,
            f"{int(off.sum()):,} dates, such as {frame.filter(off)['date'][0]}, are not {dataset.step_days} days apart",
        )
    sums = too_far_apart(dates_with_units(frame), dataset.step_days)
    if sums:
        raise broken(dataset.name, sums, DAYS_OR_WEEKS)


def dates_with_units(frame: pl.DataFrame) -> pl.Series:
    """The dates on which anything is known."""
    return frame.filter(pl.col("units").is_finite())["date"]
