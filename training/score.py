"""The nightly scoring: every series on sale, as of the latest instant of the snapshot grid, today and the days after it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import DataGateError
from contracts.features import SALES_ROLLING
from contracts.tables import GOLD_FORECASTS
from contracts.windows import DAY_MS, StoreCalendars
from featurestore.offline import OfflineStore
from training.frame import answer
from training.models.base import asked_of
from training.questions import coming_questions
from training.registry import LoadedModel
from training.rows import Forecast, Rows
from training.split import date_of
from training.tracking import QUANTILE_COLUMNS

FORECASTS = pa.schema(
    [
        ("model_name", pa.string()),
        ("model_version", pa.string()),
        ("store_id", pa.string()),
        ("product_id", pa.string()),
        ("as_of", pa.timestamp("us", "UTC")),
        ("as_of_ms", pa.int64()),
        ("target_day", pa.date32()),
        ("mean", pa.float64()),
        *((column, pa.float64()) for column in QUANTILE_COLUMNS),
    ]
)
GRID_LOOK_BACK_MS = 2 * DAY_MS  # stores in other time zones reach the same hour of the grid up to a day apart


@dataclass(frozen=True, slots=True)
class Series:
    """The series to score: one row per store × product, with the latest grid instant of its store."""

    store: np.ndarray[tuple[int], np.dtype[np.str_]]
    product: np.ndarray[tuple[int], np.dtype[np.str_]]
    as_of: np.ndarray[tuple[int], np.dtype[np.int64]]


def latest_series(offline: OfflineStore) -> Series:
    """Every series that has features at its store's latest grid instant. Raises DataGateError where there is none."""
    view = SALES_ROLLING.table
    latest = pc.max(offline.read_table(view, ["as_of_ms"])["as_of_ms"]).as_py()
    if latest is None:
        raise DataGateError(
            "There are no features to score",
            doing="looking for the latest snapshot",
            why=f"{view} is empty",
            hint="Run `./rd360 lake run`.",
        )
    rows = offline.read_table(view, ["store_id", "product_id", "as_of_ms"], f"as_of_ms >= {latest - GRID_LOOK_BACK_MS}")
    newest = rows.group_by("store_id").aggregate([("as_of_ms", "max")])
    of_store = dict(zip(newest["store_id"].to_pylist(), newest["as_of_ms_max"].to_pylist(), strict=True))
    columns = [rows[name].to_pylist() for name in ("store_id", "product_id", "as_of_ms")]
    chosen = sorted({(s, p, t) for s, p, t in zip(*columns, strict=True) if t == of_store[s]})
    return Series(
        np.array([row[0] for row in chosen], dtype=np.str_),
        np.array([row[1] for row in chosen], dtype=np.str_),
        np.array([row[2] for row in chosen], dtype=np.int64),
    )


def score_all(offline: OfflineStore, model: LoadedModel, calendars: StoreCalendars) -> pa.Table:
    """One row per store × product × target day, as FORECASTS."""
    series = latest_series(offline)
    rows = answer(offline, calendars, coming_questions(series.store, series.product, series.as_of, calendars))
    return as_table(rows, model.scorer.score_matrix(rows.x, asked_of(rows)), model)


def keep(offline: OfflineStore, forecasts: pa.Table) -> None:
    """Adds the forecasts to the lake. Scoring the same version as of the same instant again replaces what it wrote before."""
    for as_of in pc.unique(forecasts["as_of_ms"]).to_pylist():
        part = forecasts.filter(pc.equal(forecasts["as_of_ms"], as_of))
        stores = ", ".join(_quoted(store) for store in sorted(set(part["store_id"].to_pylist())))
        version = part["model_version"][0].as_py()
        offline.overwrite(
            GOLD_FORECASTS, part, f"as_of_ms = {as_of} and model_version = {_quoted(version)} and store_id in ({stores})"
        )


def as_table(rows: Rows, forecast: Forecast, model: LoadedModel) -> pa.Table:
    """Rows and their forecast as FORECASTS."""
    count = len(rows)
    columns = {
        "model_name": pa.array([model.name] * count, pa.string()),
        "model_version": pa.array([model.version] * count, pa.string()),
        "store_id": pa.array(rows.store.tolist(), pa.string()),
        "product_id": pa.array(rows.product.tolist(), pa.string()),
        "as_of": pa.array(rows.as_of * 1000, pa.int64()).cast(pa.timestamp("us", "UTC")),
        "as_of_ms": pa.array(rows.as_of, pa.int64()),
        "target_day": pa.array([date_of(day) for day in rows.target_day.tolist()], pa.date32()),
        "mean": pa.array(forecast.mean, pa.float64()),
        **{name: pa.array(forecast.quantiles[:, at], pa.float64()) for at, name in enumerate(QUANTILE_COLUMNS)},
    }
    return pa.table(columns, schema=FORECASTS)


def _quoted(text: str) -> str:
    """A string literal of the filter language, in which a quote is doubled."""
    return "'" + text.replace("'", "''") + "'"
