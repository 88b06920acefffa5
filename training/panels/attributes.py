"""What is known of products and stores, as whole numbers per series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from training.panels.files import broken, read_table
from training.rows import Ints

ENTITIES = {"products": "product_id", "stores": "store_id"}
MAX_CATEGORIES_SHARE = 0.5  # an attribute with more values than half the entities names them one by one


def read_attributes(folder: Path, name: str) -> pl.DataFrame | None:
    """One row per product or store, of repeated ones the first counts; None without a file. Raises DataGateError without ids."""
    path, key = folder / f"{name}.parquet", ENTITIES[name]
    if not path.exists():
        return None
    frame = read_table(path)
    if key not in frame.columns:
        raise broken(folder.name, f"{path.name} has no column {key}; it has {', '.join(frame.columns)}")
    if frame.schema[key].is_nested():
        raise broken(folder.name, f"{key} of {path.name} is {frame.schema[key]}, not one text or number")
    return frame.with_columns(pl.col(key).cast(pl.String))


def codes(series: pl.DataFrame, name: str, attributes: pl.DataFrame | None) -> dict[str, Ints]:
    """Attribute -> its code per series, by the order of its values: numbers by size, all else as texts; -1 is unknown."""
    if attributes is None:
        return {}
    key = ENTITIES[name]
    first = attributes.unique(key, keep="first", maintain_order=True)
    rows = series.select(pl.col(key)).join(first, on=key, how="left", maintain_order="left")
    found = {}
    for attribute in sorted(set(attributes.columns) - {key, "name"}):
        if rows.schema[attribute].is_nested():
            continue
        values = rows[attribute] if rows.schema[attribute].is_numeric() else rows[attribute].cast(pl.String)
        distinct = values.drop_nulls().unique().sort().to_list()
        if 1 < len(distinct) <= max(2, MAX_CATEGORIES_SHARE * attributes.height):
            code = {value: at for at, value in enumerate(distinct)}
            coded = [code.get(value, -1) for value in values.to_list()]
            found[f"{name.removesuffix('s')}_{attribute}"] = np.array(coded, dtype=np.int64)
    return found
