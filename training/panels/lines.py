"""One row per store × product × local day, made of receipt lines: products that never sold on enough days are left out."""

from __future__ import annotations

import polars as pl

MIN_SELLING_DAYS = 60
KEYS = ["store_id", "product_id"]


def panel_of_lines(lines: pl.DataFrame, timezone: str, min_days: int = MIN_SELLING_DAYS) -> pl.DataFrame:
    """date, store_id, product_id, units; complete from a series' first day to the last day of all, 0 on days without a line.

    A product that is not sold any more has zeros: known days, on which nobody bought it. Returns are subtracted. Realised prices
    are left out: they are missing on days without a sale and so would tell the future.
    """
    day = pl.col("event_time").dt.convert_time_zone(timezone).dt.date() if _has_zone(lines) else pl.col("event_time").dt.date()
    daily = lines.group_by(*KEYS, day.alias("date")).agg(
        pl.col("quantity").cast(pl.Float64).sum().alias("units"), (pl.col("quantity") > 0).any().alias("sold")
    )
    last = daily["date"].max()
    kept = daily.filter(pl.col("sold")).group_by(*KEYS).len().filter(pl.col("len") >= min_days).select(KEYS)
    daily = daily.join(kept, on=KEYS, how="semi").sort(*KEYS, "date")
    spans = daily.group_by(*KEYS, maintain_order=True).agg(pl.date_range(pl.col("date").min(), pl.lit(last)).alias("date"))
    grid = spans.explode("date")
    return (
        grid.join(daily, on=[*KEYS, "date"], how="left").select("date", *KEYS, pl.col("units").fill_null(0.0)).sort(*KEYS, "date")
    )


def _has_zone(lines: pl.DataFrame) -> bool:
    kind = lines.schema["event_time"]
    return isinstance(kind, pl.Datetime) and kind.time_zone is not None
