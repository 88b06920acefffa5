"""`rd360 rollback`: the champion before this one is champion again."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.settings import load_settings
from infra.cli.console import json_result, note, result
from infra.cli.options import ModelName

app = typer.Typer()


@app.command()
def rollback(
    model_name: ModelName = None, as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False
) -> None:
    """Make the previous champion the champion again. The API serves it within seconds."""
    from training.registry import MODEL, ModelRegistry

    registry = ModelRegistry(load_settings(), model_name or MODEL)
    left, restored = registry.rollback()
    if as_json:
        json_result({"name": registry.name, "left": left, "version": restored})
    else:
        result(f"{registry.name} version {restored} is champion again, in place of {left}")
    note("Next: ./rd360 forecast score")
