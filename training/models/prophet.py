"""Prophet, a model per series (Taylor & Letham 2018): trend, weekday, and price and promotion where they were announced.

The series that sell most get a model, up to a limit; the others are answered by the seasonal naive rule, and counted.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from training.models.base import asked_of
from training.models.quiet_prophet import Prophet, quiet
from training.quantiles import adjust, conformal_offsets, horizon_group
from training.rows import HORIZON, Daily, Floats, Forecast, History, Rows
from training.scorer import TABLE, Manifest, write_manifest
from training.series_table import SeriesTable
from training.split import calibration_split, date_of, iso_day

MIN_DAYS = 28  # four of each weekday
YEAR_DAYS = 730  # two years before a yearly season can be told from a trend
CALIBRATION_SERIES = 25  # errors are pooled over series, and a fit of each one only for its errors would double the time
DAYS_AHEAD = 2 * HORIZON  # an exported table serves for two weeks after its training
PRICE, PROMOTED = "price", "promoted"


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its days ahead at the reference price without promotion, slopes and daily standard deviation, in units."""

    store: str
    product: str
    base: Floats
    price_reference: float
    price_slope: float
    promotion_slope: float
    sigma: float


@dataclass(frozen=True, slots=True)
class FittedProphet:
    """A table of lines, and the offsets of its errors."""

    table: SeriesTable
    offsets: Floats
    origin_day: int
    series: int
    name: str

    def predict(self, questions: Rows) -> Forecast:
        """Reads the table; seasonal naive where it has no line."""
        mean, quantiles, _ = self.table.predict(questions.x, asked_of(questions))
        return Forecast(mean, adjust(mean, quantiles, horizon_group(questions.column("days_ahead")), self.offsets))

    def export(self, folder: Path) -> None:
        """The table and the manifest."""
        self.table.save(folder / TABLE)
        write_manifest(
            folder,
            Manifest(
                kind="series_table",
                candidate=self.name,
                trained_through=iso_day(self.origin_day - 1),
                offsets=self.offsets.tolist(),
            ),
        )

    def notes(self) -> dict[str, float]:
        """How many series have a model of their own, and how many the seasonal naive rule answers."""
        return {"series_modelled": float(len(self.table.store)), "series_fallback": float(self.series - len(self.table.store))}


@dataclass(frozen=True, slots=True)
class ProphetPerSeries:
    """The candidate."""

    max_series: int = 200
    threads: int = 2  # a fit runs in a process of its own, so threads overlap
    seed: int = 7
    name: str = "prophet"

    def params(self) -> dict[str, Any]:
        """The limit and the shortest history."""
        return {**{key: value for key, value in asdict(self).items() if key != "name"}, "min_days": MIN_DAYS}

    def fit(self, history: History) -> FittedProphet:
        """Offsets from fits of some series without the last days, then a fit of every chosen series on everything."""
        early, calibration = calibration_split(history)
        chosen = largest(early.daily, self.max_series)
        sample = chosen[:: -(-len(chosen) // CALIBRATION_SERIES) or 1]
        rows = _without(calibration, {series for series, _ in chosen} - {series for series, _ in sample})
        mean, quantiles, _ = self._table(early.daily, sample, early.origin_day).predict(rows.x, asked_of(rows))
        offsets = conformal_offsets(rows.target, mean, quantiles, horizon_group(rows.column("days_ahead")))
        table = self._table(history.daily, largest(history.daily, self.max_series), history.origin_day)
        return FittedProphet(table, offsets, history.origin_day, len(history.daily.series()), self.name)

    def _table(self, daily: Daily, chosen: list[tuple[tuple[str, str], slice]], origin_day: int) -> SeriesTable:
        with quiet(), ThreadPoolExecutor(self.threads) as pool:
            lines = list(
                pool.map(
                    lambda item: fit_line(item[0], daily, item[1], origin_day, self.seed),
                    sorted(chosen, key=lambda item: item[0]),
                )
            )
        return as_table(lines, origin_day)


def _without(rows: Rows, series: set[tuple[str, str]]) -> Rows:
    kept = [key not in series for key in zip(rows.store.tolist(), rows.product.tolist(), strict=True)]
    return rows.where(np.array(kept, dtype=np.bool_))


def largest(daily: Daily, limit: int) -> list[tuple[tuple[str, str], slice]]:
    """The series with enough days and any demand, those with the largest demand first, up to a limit."""
    sold = [(float(np.nansum(daily.demand[at])), series, at) for series, at in daily.series().items()]
    long = [item for item in sold if item[0] > 0 and np.isfinite(daily.demand[item[2]]).sum() >= MIN_DAYS]
    return [(series, at) for _, series, at in sorted(long, key=lambda item: (-item[0], item[1]))[:limit]]


def fit_line(series: tuple[str, str], daily: Daily, at: slice, origin_day: int, seed: int) -> Line:
    """Fits one series. Its regressors enter additively, so that the table's linear form is the model itself."""
    frame, regressors = _history_frame(daily, at)
    model = Prophet(
        weekly_seasonality=True,
        daily_seasonality=False,
        yearly_seasonality=len(frame) >= YEAR_DAYS,
        uncertainty_samples=0,  # spread comes from sigma and the conformal offsets
    )
    for regressor in regressors:
        model.add_regressor(regressor, mode="additive")
    model.fit(frame, seed=seed)
    reference = float(frame[PRICE].iloc[-1]) if PRICE in regressors else 0.0
    days = pd.to_datetime([date_of(origin_day + ahead) for ahead in range(DAYS_AHEAD)])
    plain = pd.DataFrame({"ds": days, PRICE: reference, PROMOTED: 0.0})
    moved = [plain.tail(1).assign(**{name: plain[name].iloc[0] + 1.0}) for name in (PRICE, PROMOTED)]
    answers = model.predict(pd.concat([plain, *moved], ignore_index=True))["yhat"].to_numpy(dtype=np.float64)
    # Prophet answers in the order of days: the last day comes thrice, plain, one cent dearer and on promotion
    slopes = answers[DAYS_AHEAD:] - answers[DAYS_AHEAD - 1]
    return Line(
        *series,
        base=answers[:DAYS_AHEAD],
        price_reference=reference,
        price_slope=float(slopes[0]),
        promotion_slope=float(slopes[1]),
        sigma=float(np.mean(model.params["sigma_obs"])) * float(model.y_scale or 1.0),
    )


def as_table(lines: list[Line], first_day: int) -> SeriesTable:
    """The lines as arrays."""
    return SeriesTable(
        store=np.array([line.store for line in lines], dtype=np.str_),
        product=np.array([line.product for line in lines], dtype=np.str_),
        first_day=first_day,
        base=np.array([line.base for line in lines]).reshape(len(lines), DAYS_AHEAD),
        price_reference=np.array([line.price_reference for line in lines]),
        price_slope=np.array([line.price_slope for line in lines]),
        promotion_slope=np.array([line.promotion_slope for line in lines]),
        sigma=np.array([line.sigma for line in lines]),
    )


def _history_frame(daily: Daily, at: slice) -> tuple[pd.DataFrame, list[str]]:
    """The days of a series as Prophet wants them, and the regressors that are known and vary."""
    frame = pd.DataFrame(
        {
            "ds": pd.to_datetime([date_of(day) for day in daily.day[at]]),
            "y": daily.demand[at],
            PRICE: pd.Series(daily.price[at]).ffill().bfill(),
            PROMOTED: np.nan_to_num(daily.promoted[at]),
        }
    ).dropna(subset=["y"])
    regressors = [name for name in (PRICE, PROMOTED) if frame[name].notna().all() and frame[name].nunique() > 1]
    return frame[["ds", "y", *regressors]], regressors
