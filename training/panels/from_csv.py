"""From plain rows to the panel layout: columns renamed, the period inferred, repeated rows added up, nothing dropped unsaid."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from contracts.errors import DataGateError
from training.panels.dataset import DATASET_FILE, DEFAULT_HORIZON, DEFAULT_SEASON, STEP_DAYS
from training.panels.lines import KEYS
from training.panels.read import KNOWN_PREFIX, OPTIONAL, PANEL

REQUIRED = ("date", "store_id", "product_id", "units")
ORIGINS = 3
ISO = "%Y-%m-%d"
ONE_STORE = "all"  # of a table without stores


@dataclass(frozen=True, slots=True)
class Made:
    """A panel in the layout, its `dataset.json`, and in words what was done to get there."""

    panel: pl.DataFrame
    dataset: dict[str, Any]
    did: list[str]


def convert(
    rows: pl.DataFrame,
    columns: Mapping[str, str],
    *,
    name: str,
    freq: str | None = None,
    horizon: int | None = None,
    gaps_are_zero: bool = False,
    date_format: str | None = None,
) -> Made:
    """`columns` maps names of the layout to those of the table; a column named in the layout's words needs no mapping.

    Raises DataGateError where a needed column is missing, a date or number cannot be read, or no period fits the dates.
    """
    did: list[str] = []
    named = _typed(_renamed(rows, columns, did), date_format)
    freq = freq or infer_freq(named["date"])
    if freq == "W":
        named = _to_weeks(named, did)
    panel = _one_row_each(named, did)
    panel = _filled(panel, STEP_DAYS[freq], gaps_are_zero, did)
    length = horizon or DEFAULT_HORIZON[freq]
    return Made(panel, _facts(panel, name, freq, length), did)


def infer_freq(dates: pl.Series) -> str:
    """D where days follow each other, W where most steps between the dates are a week. Raises DataGateError for anything else."""
    days = dates.drop_nulls().unique().sort()
    steps = Counter(days.diff().drop_nulls().dt.total_days().to_list())
    if not steps:
        raise _cannot("the period cannot be told from one date", "Give --freq.")
    usual, _ = min(steps.items(), key=lambda item: (-item[1], item[0]))
    if usual == 7:
        return "W"
    if usual < 7:
        return "D"
    raise _cannot(f"most dates are {usual} days apart", "Days and weeks can be forecast; add the rows up to one of them.")


def write(made: Made, folder: Path) -> None:
    """The folder with both files."""
    folder.mkdir(parents=True, exist_ok=True)
    made.panel.write_parquet(folder / PANEL)
    (folder / DATASET_FILE).write_text(json.dumps(made.dataset, indent=1) + "\n", encoding="utf-8")


def _renamed(rows: pl.DataFrame, columns: Mapping[str, str], did: list[str]) -> pl.DataFrame:
    missing = [f"{theirs!r} (for {ours})" for ours, theirs in columns.items() if theirs not in rows.columns]
    if missing:
        raise _cannot(f"the table has no column {', '.join(missing)}; it has {', '.join(rows.columns)}", "Map other columns.")
    named = rows.select(*(pl.col(theirs).alias(ours) for ours, theirs in columns.items()), *_own_words(rows, columns))
    if "store_id" not in named.columns:
        named = named.with_columns(pl.lit(ONE_STORE).alias("store_id"))
        did.append(f"there is no store column: all rows are of the store {ONE_STORE!r}")
    absent = [name for name in REQUIRED if name not in named.columns]
    if absent:
        raise _cannot(f"it is not said which column is {', '.join(absent)}", "Map it, such as --column units=qty.")
    ignored = [name for name in rows.columns if name not in columns.values() and name not in named.columns]
    if ignored:
        did.append(f"columns not used: {', '.join(ignored)}; covariates known ahead are named x_… (--column x_promo=promo)")
    return named


def _own_words(rows: pl.DataFrame, columns: Mapping[str, str]) -> list[str]:
    words = (*REQUIRED, *OPTIONAL)
    return [name for name in rows.columns if (name in words or name.startswith(KNOWN_PREFIX)) and name not in columns]


def _typed(rows: pl.DataFrame, date_format: str | None) -> pl.DataFrame:
    date = pl.col("date").str.to_date(date_format or ISO) if rows.schema["date"] == pl.String else pl.col("date").cast(pl.Date)
    numbers = [name for name in rows.columns if name not in ("date", *KEYS)]
    try:
        return rows.select(
            date, *(pl.col(key).cast(pl.String) for key in KEYS), *(pl.col(name).cast(pl.Float64) for name in numbers)
        )
    except pl.exceptions.PolarsError as error:
        raise _cannot(
            f"a value cannot be read: {error}", "Dates as 2025-06-30, or give --date-format; numbers with a point."
        ) from error


def _to_weeks(rows: pl.DataFrame, did: list[str]) -> pl.DataFrame:
    weekday = int(rows["date"].dt.weekday().mode().min())  # type: ignore[arg-type]
    shift = (pl.col("date").dt.weekday().cast(pl.Int32) - weekday + 7) % 7
    moved = rows.filter(pl.col("date").dt.weekday() != weekday).height
    if moved:
        did.append(f"{moved:,} dates moved back to the day on which most weeks start")
    return rows.with_columns(pl.col("date") - pl.duration(days=shift))


def _one_row_each(rows: pl.DataFrame, did: list[str]) -> pl.DataFrame:
    keyless = rows.filter(pl.any_horizontal(pl.col("date", *KEYS).is_null())).height
    if keyless:
        did.append(f"{keyless:,} rows without a date, store or product left out")
    whole = rows.drop_nulls(["date", *KEYS])
    repeated = whole.height - whole.select("date", *KEYS).n_unique()
    if repeated:
        did.append(f"{repeated:,} rows of a series and period that had one: units added up, other columns averaged")
    others = [name for name in rows.columns if name not in ("date", *KEYS, "units")]
    # the sum of nothing but unknown values is unknown
    units = pl.when(pl.col("units").count() > 0).then(pl.col("units").sum()).alias("units")
    return whole.group_by("date", *KEYS).agg(units, *(pl.col(name).mean() for name in others)).sort(*KEYS, "date")


def _filled(panel: pl.DataFrame, step_days: int, gaps_are_zero: bool, did: list[str]) -> pl.DataFrame:
    grid = (
        panel.group_by(KEYS, maintain_order=True)
        .agg(pl.date_range(pl.col("date").min(), pl.col("date").max(), interval=f"{step_days}d").alias("date"))
        .explode("date")
    )
    full = grid.join(panel, on=[*KEYS, "date"], how="left").select(panel.columns).sort(*KEYS, "date")
    added = full.height - panel.height
    if added:
        did.append(
            f"{added:,} missing periods added, with units {'0' if gaps_are_zero else 'unknown (--gaps-are-zero makes them 0)'}"
        )
    if not (added and gaps_are_zero):
        return full
    held = panel.select("date", *KEYS).with_columns(pl.lit(True).alias("held"))
    marked = full.join(held, on=["date", *KEYS], how="left", maintain_order="left")
    return marked.with_columns(pl.when(pl.col("held").is_null()).then(0.0).otherwise(pl.col("units")).alias("units")).drop("held")


def _facts(panel: pl.DataFrame, name: str, freq: str, horizon: int) -> dict[str, Any]:
    days = panel["date"].unique().sort()
    places = [len(days) - 1 - horizon * back for back in range(ORIGINS, 0, -1)]
    return {
        "name": name,
        "kind": "panel",
        "freq": freq,
        "season_length": DEFAULT_SEASON[freq],
        "horizon": horizon,
        "origins": [str(days[place]) for place in places if place >= horizon],
        "unit": "units",
        "known_covariates": [column for column in panel.columns if column.startswith(KNOWN_PREFIX)],
    }


def _cannot(why: str, hint: str) -> DataGateError:
    return DataGateError("The table cannot be made a panel", doing="bringing a CSV file into the layout", why=why, hint=hint)
