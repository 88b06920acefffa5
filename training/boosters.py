"""How a booster that was saved is read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def load_booster(path: Path, threads: int = 1) -> Any:
    """The booster of a file. One thread by default: for a handful of rows more would cost more than they win."""
    import xgboost  # half a second, and only some kinds of model need it

    booster = xgboost.Booster(model_file=path)
    booster.set_param({"nthread": threads})
    return booster
