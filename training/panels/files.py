"""The tables of a panel folder, or an error that says which one cannot be used and why."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from contracts.errors import DataGateError

CHECK_IT = "`rd360 data check DIR` lists all that is wrong; the layout is in docs/forecasting.md."


def read_table(path: Path) -> pl.DataFrame:
    """The rows of a parquet file. Raises DataGateError where it cannot be read."""
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise broken(path.parent.name, f"{path.name} cannot be read: {error}") from error


def broken(where: str, why: str, hint: str = CHECK_IT) -> DataGateError:
    """The error that a panel breaks."""
    return DataGateError(f"The panel of {where} cannot be used", doing="reading a panel", why=why, hint=hint)
