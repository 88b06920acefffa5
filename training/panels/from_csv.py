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
from training.panels.columns import numbers
from training.panels.dataset import DATASET_FILE, DEFAULT_HORIZON, DEFAULT_SEASON, STEP_DAYS
from training.panels.dates import days_of, too_far_apart
from training.panels.filling import filled
from training.panels.lines import KEYS
from training.panels.read import DAYS_OR_WEEKS, KNOWN_PREFIX, MAX_TEXTS, OPTIONAL, PANEL

REQUIRED = ("date", "store_id", "product_id", "units")
ORIGINS = 3
TABLE = "the table"
FLAGS = {"true": 1.0, "false": 0.0}
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
    renamed = _renamed(rows, columns, did)
    read = days_of(renamed["date"], TABLE, written=date_format)
    notes = [f"{note.count:,} {note.what}, the first {note.first}" for note in read.notes]
    did.extend(notes)
    named = _typed(renamed, read.days, did)
    freq = _period(read.days, freq, notes)
    if freq == "W":
        named = _to_weeks(named, did)
    panel = _one_row_each(named, did)
    panel = filled(panel, STEP_DAYS[freq], did, gaps_are_zero=gaps_are_zero)
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


def _period(days: pl.Series, freq: str | None, notes: list[str]) -> str:
    """D or W. Raises DataGateError on sums of months; dates that were read the wrong way round can look like them."""
    sums = "" if freq is None else too_far_apart(days, STEP_DAYS[freq])
    if sums:
        raise _cannot(sums, " ".join([DAYS_OR_WEEKS, *notes]))
    try:
        return freq or infer_freq(days)
    except DataGateError as error:
        raise _cannot(error.why, " ".join([error.hint, *notes])) from error


def _typed(rows: pl.DataFrame, days: pl.Series, did: list[str]) -> pl.DataFrame:
    values = [
        _covariate(rows[name], did) if name.startswith(KNOWN_PREFIX) else numbers(rows[name], TABLE)
        for name in rows.columns
        if name not in ("date", *KEYS)
    ]
    return rows.select(days.alias("date"), *(pl.col(key).cast(pl.String) for key in KEYS), *values)


def _covariate(column: pl.Series, did: list[str]) -> pl.Series:
    """Numbers, flags or texts. Raises DataGateError on numbers among which is something else: a typing error is no category."""
    if column.dtype != pl.String:
        return numbers(column, TABLE)
    texts = column.str.strip_chars()
    flags = texts.str.to_lowercase()
    distinct = flags.drop_nulls().unique()
    if len(distinct) and distinct.is_in(list(FLAGS)).all():
        did.append(f"{column.name}: true is 1, false is 0")
        return flags.replace_strict(FLAGS, return_dtype=pl.Float64)
    if 2 * distinct.cast(pl.Float64, strict=False).count() > len(distinct) or not len(distinct):
        return numbers(column, TABLE)
    did.append(f"{column.name} is texts, the first {texts.drop_nulls()[0]!r}: 0 and 1 for each of the {MAX_TEXTS} commonest")
    return texts


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
        did.append(
            f"{repeated:,} rows of a series and period that had one: units added up, other numbers averaged, of texts the first"
        )
    others = [name for name in rows.columns if name not in ("date", *KEYS, "units")]
    # the sum of nothing but unknown values is unknown
    units = pl.when(pl.col("units").count() > 0).then(pl.col("units").sum()).alias("units")
    one = (pl.col(name).drop_nulls().first() if whole.schema[name] == pl.String else pl.col(name).mean() for name in others)
    return whole.group_by("date", *KEYS, maintain_order=True).agg(units, *one).sort(*KEYS, "date")


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
