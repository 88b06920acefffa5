"""Missing periods as rows of their own: units unknown or 0, and of the covariates what all other series say of the day."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from training.panels.lines import KEYS
from training.panels.read import KNOWN_PREFIX

SHARED_BY = {"all series": ("date",), "all series of the store": ("store_id", "date")}


def filled(panel: pl.DataFrame, step_days: int, did: list[str], *, gaps_are_zero: bool) -> pl.DataFrame:
    """One row per series and period from a series' first to its last, in their order; `did` gets what was added."""
    grid = (
        panel.group_by(KEYS, maintain_order=True)
        .agg(pl.date_range(pl.col("date").min(), pl.col("date").max(), interval=f"{step_days}d").alias("date"))
        .explode("date")
    )
    full = grid.join(panel.with_columns(pl.lit(False).alias("added")), on=[*KEYS, "date"], how="left")
    full = full.with_columns(pl.col("added").fill_null(value=True)).sort(*KEYS, "date")
    added = int(full["added"].sum())
    if not added:
        return panel
    did.append(
        f"{added:,} missing periods added, with units {'0' if gaps_are_zero else 'unknown (--gaps-are-zero makes them 0)'}"
    )
    if gaps_are_zero:
        full = full.with_columns(pl.when("added").then(0.0).otherwise("units").alias("units"))
    for name in (name for name in panel.columns if name.startswith(KNOWN_PREFIX)):
        full = _told_by_others(full, name, did)
    return full.select(panel.columns)


def _told_by_others(full: pl.DataFrame, name: str, did: list[str]) -> pl.DataFrame:
    """A covariate that never differs between the series of a day, or of a store's day, is theirs in the added rows too."""
    added, told = int(full["added"].sum()), 0
    for whose, keys in SHARED_BY.items():
        shared = _shared(full, name, keys)
        if shared is not None:
            joined = full.join(shared.with_columns(pl.lit(True).alias("told")), on=keys, how="left", maintain_order="left")
            told = joined.filter("added")["told"].count()
            full = joined.with_columns(pl.when("added").then("shared").otherwise(name).alias(name)).drop("shared", "told")
            did.append(f"{name} of added rows: {told:,} have the one value that {whose} have at that time")
            break
    if told < added:
        did.append(f"{name} is unknown in {added - told:,} added rows: nothing in the table says it")
    return full


def _shared(full: pl.DataFrame, name: str, keys: Sequence[str]) -> pl.DataFrame | None:
    """The value at each time that two rows tell alike; None if two ever tell different ones. One row is no sign that it is all's.

    A null among texts is a value: no event. Among numbers it tells nothing.
    """
    held = full.filter(~pl.col("added"))
    telling = held if held.schema[name] == pl.String else held.drop_nulls(name)
    values = telling.group_by(keys).agg(pl.col(name).n_unique().alias("values"), pl.len(), pl.col(name).first())
    several = values.filter(pl.col("len") > 1)
    if several.is_empty() or (several["values"] > 1).any():
        return None
    return several.select(*keys, pl.col(name).alias("shared"))
