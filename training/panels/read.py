"""Reads a panel folder into matrices: `panel.parquet` (and an older `history.parquet`), or receipts alone."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl

from contracts.errors import DataGateError
from training.panels.dataset import Dataset, read_dataset
from training.panels.lines import KEYS, panel_of_lines
from training.panels.panel import Panel
from training.rows import Floats, Ints

PANEL, HISTORY, LINES = "panel.parquet", "history.parquet", "lines.parquet"
OPTIONAL = ("in_stock", "price_cents", "base_price_cents")
KNOWN_PREFIX = "x_"
MONTH_DAYS = 28  # and more between all dates: sums of months, which are neither days nor weeks
MAX_TEXTS = 20  # of a covariate of texts: the rarer ones say too little to be learnt from
MAX_CATEGORIES_SHARE = 0.5  # an attribute with more values than half the entities names them one by one


def read_panel(folder: Path) -> Panel:
    """The panel of a folder. Raises DataGateError where it has none or breaks the layout."""
    dataset = read_dataset(folder)
    return to_panel(read_frame(folder, dataset), dataset, entities(folder, "products"), entities(folder, "stores"))


def read_frame(folder: Path, dataset: Dataset) -> pl.DataFrame:
    """The rows of the folder: date, store_id, product_id, units and whatever else there is; ids are strings, numbers Float64."""
    if (folder / PANEL).exists():
        parts = [_parquet(folder / name) for name in (HISTORY, PANEL) if (folder / name).exists()]
        return typed(pl.concat(parts, how="diagonal_relaxed"), folder.name, dataset.timezone)
    if (folder / LINES).exists():
        return typed(panel_of_lines(_parquet(folder / LINES), dataset.timezone), folder.name)
    raise _broken(folder.name, f"it has neither {PANEL} nor {LINES}")


def schema_of(folder: Path) -> pl.Schema:
    """The columns of `panel.parquet` as the file has them; none where there are only receipts."""
    path = folder / PANEL
    return pl.Schema(pl.read_parquet_schema(path) if path.exists() else {})


def typed(frame: pl.DataFrame, where: str, zone: str = "UTC") -> pl.DataFrame:
    """The columns that count, in their types. Raises DataGateError naming the column that cannot be read.

    An instant is of its day in the `zone`. A covariate of texts becomes a column of 0 and 1 for each of its commonest, such as
    `x_event=Easter`; of dates, lists and the like nothing is read.
    """
    missing = [name for name in ("date", *KEYS, "units") if name not in frame.columns]
    if missing:
        raise _broken(where, f"the panel has no column {', '.join(missing)}")
    numbers = ["units", *(name for name in OPTIONAL if name in frame.columns)]
    known = [column for name in sorted(frame.columns) if name.startswith(KNOWN_PREFIX) for column in _covariate(frame, name)]
    try:
        return frame.select(
            _days(frame["date"], where, zone),
            *(pl.col(key).cast(pl.String) for key in KEYS),
            *(pl.col(name).cast(pl.Float64) for name in numbers),
            *known,
        )
    except pl.exceptions.PolarsError as error:
        raise _broken(where, f"a column is not of its type: {error}") from error


def _days(given: pl.Series, where: str, zone: str) -> pl.Series:
    """The days of a column of dates, texts or instants. Raises DataGateError on anything else, and on times of day."""
    if given.dtype == pl.Date:
        return given
    if given.dtype == pl.String:
        try:
            days = given.str.to_date(strict=False)
        except pl.exceptions.PolarsError:
            days = pl.Series(given.name, [None] * len(given), dtype=pl.Date)
        if (wrong := given.filter(days.is_null() & given.is_not_null())).len():
            raise _broken(where, f"{wrong.len():,} values of date are no dates, such as {wrong[0]!r}: write 2025-06-30")
        return days
    if given.dtype != pl.Datetime:
        example = given.drop_nulls().first()
        raise _broken(where, f"date is of type {given.dtype}, such as {example!r}: write dates, or texts like 2025-06-30")
    aware = given.dtype.time_zone is not None  # type: ignore[attr-defined]  # of Datetime alone
    local = given.dt.convert_time_zone(zone) if aware else given
    times = local.dt.time().drop_nulls().unique()
    if len(times) > 1 or (aware and (times != dt.time()).any()):
        some = ", ".join(str(moment) for moment in local.drop_nulls().unique().sort().head(2))
        hint = f" Midnights of another zone than {zone} need `timezone` in dataset.json." if aware else ""
        raise _broken(where, f"date has times of day, such as {some}: hours have to be added up to days or weeks first.{hint}")
    return local.dt.date()


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
        codes={**_codes(series, "product_id", products, "product"), **_codes(series, "store_id", stores, "store")},
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
    raise _broken(dataset.name, f"{repeated.height:,} rows are of one series and period, such as {store} {product} {date}")


def _check_rows(frame: pl.DataFrame, dataset: Dataset) -> None:
    if frame.is_empty():
        raise _broken(dataset.name, "it has no rows")
    if sum(frame.select(pl.col("date", *KEYS).null_count()).row(0)):
        raise _broken(dataset.name, "a row has no date, store or product")
    off = (frame["date"] - frame["date"].min()).dt.total_days() % dataset.step_days != 0
    if off.any():
        raise _broken(
            dataset.name,
            f"{int(off.sum()):,} dates, such as {frame.filter(off)['date'][0]}, are not {dataset.step_days} days apart",
        )
    if (apart := days_apart(frame)) is not None and apart >= MONTH_DAYS:
        raise _broken(dataset.name, f"no two dates are less than {apart} days apart: sums of months are neither days nor weeks")


def days_apart(frame: pl.DataFrame) -> int | None:
    """The least number of days between two dates that follow each other; None where there are fewer than three dates."""
    dates = frame["date"].drop_nulls().unique().sort()
    return int(cast("dt.timedelta", dates.diff().min()).days) if len(dates) > 2 else None


def _codes(series: pl.DataFrame, key: str, entities: pl.DataFrame | None, prefix: str) -> dict[str, Ints]:
    """Attribute -> its code per series, by the order of its values: numbers by size, all else as texts."""
    if entities is None or key not in entities.columns:
        return {}
    rows = series.select(pl.col(key)).join(
        entities.unique(key, keep="first", maintain_order=True), on=key, how="left", maintain_order="left"
    )
    codes = {}
    for name in sorted(set(entities.columns) - {key, "name"}):
        if rows.schema[name].is_nested():
            continue
        values = rows[name] if rows.schema[name].is_numeric() else rows[name].cast(pl.String)
        distinct = values.drop_nulls().unique().sort().to_list()
        if 1 < len(distinct) <= max(2, MAX_CATEGORIES_SHARE * entities.height):
            code = {value: at for at, value in enumerate(distinct)}
            codes[f"{prefix}_{name}"] = np.array([code.get(value, -1) for value in values.to_list()], dtype=np.int64)
    return codes


def entities(folder: Path, name: str) -> pl.DataFrame | None:
    """The rows of `products.parquet` or `stores.parquet`; None where there is none. Raises DataGateError where it has no id."""
    path = folder / f"{name}.parquet"
    if not path.exists():
        return None
    frame = _parquet(path)
    key = f"{name.removesuffix('s')}_id"
    if key not in frame.columns:
        raise _broken(folder.name, f"{path.name} has no column {key}")
    return frame.with_columns(pl.col(key).cast(pl.String))


def _parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _broken(path.parent.name, f"{path.name} cannot be read: {error}") from error


def _broken(where: str, why: str) -> DataGateError:
    return DataGateError(
        f"The panel of {where} cannot be used",
        doing="reading a panel",
        why=why,
        hint="`rd360 data check DIR` lists all that is wrong; the layout is in docs/forecasting.md.",
    )
