"""A column as numbers, or an error that names the column, its first value that is none, and what is accepted."""

from __future__ import annotations

import polars as pl

from contracts.errors import DataGateError


def numbers(column: pl.Series, where: str) -> pl.Series:
    """The column as Float64. Raises DataGateError naming the first value that is no number."""
    kind = column.dtype
    if kind.is_numeric() or kind in (pl.Boolean, pl.Null):
        return column.cast(pl.Float64)
    if kind != pl.String:
        raise unreadable(
            where, column.name, f"a column is not of its type: {column.name} is of type {kind}, not numbers", "Numbers, or null."
        )
    read = column.str.strip_chars().cast(pl.Float64, strict=False)
    wrong = column.filter(read.is_null() & column.is_not_null())
    if len(wrong):
        why = f"a column is not of its type: {len(wrong):,} values, such as {wrong[0]!r}, are no numbers"
        raise unreadable(where, column.name, why, "Numbers such as 1234.5, with a point and without other signs, or null.")
    return read


def unreadable(where: str, column: str, why: str, hint: str) -> DataGateError:
    """The error that a column breaks."""
    return DataGateError(f"Column {column} of {where} cannot be used", doing="reading its values", why=why, hint=hint)
