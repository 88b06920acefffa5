"""How a model's folder describes itself to MLflow: the columns it reads and writes, and rows to try it on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXAMPLE, FLAVOUR = "input_example.json", "rd360"  # the flavour says that this code alone reads the folder


def describe(folder: Path, inputs: Mapping[str, str], outputs: Mapping[str, str], example: Mapping[str, list[Any]]) -> None:
    """Writes it into the folder; the columns are by name, each with MLflow's name of its type."""
    from mlflow.models import Model, ModelSignature  # seconds to import, and only a model that is kept needs it
    from mlflow.types import ColSpec, Schema

    read, written = (Schema([ColSpec(kind, name) for name, kind in side.items()]) for side in (inputs, outputs))
    rows = [list(row) for row in zip(*example.values(), strict=True)]
    (folder / EXAMPLE).write_text(json.dumps({"columns": list(example), "data": rows}) + "\n", encoding="utf-8")
    info = {"artifact_path": EXAMPLE, "type": "dataframe", "pandas_orient": "split"}
    model = Model(signature=ModelSignature(inputs=read, outputs=written), saved_input_example_info=info)
    model.add_flavor(FLAVOUR).save(folder / "MLmodel")
