"""`rd360 models list | show | compare`: what is registered, its figures, and the gate's reasons."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table
from infra.cli.options import ModelName
from infra.cli.train import cell

if TYPE_CHECKING:  # the registry needs MLflow only once a command is called
    from training.registry import ModelRegistry

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
VersionArgument = Annotated[str, typer.Argument(help="The number of a version.")]
FIGURES = ("wape", "bias", "pinball", "rmsse", "spl", "past_wape", "past_bias")  # a list shows those that a version has


@app.command("list")
def list_models(model_name: ModelName = None, as_json: Json = False) -> None:
    """List the versions, newest first."""
    registry = _registry(model_name)
    versions = [asdict(version) for version in registry.versions()]
    if as_json:
        json_result({"models": [{"name": registry.name, **version} for version in versions]})
        return
    figures = [figure for figure in FIGURES if any(figure in version["metrics"] for version in versions)]
    columns = ("version", "candidate", "trained", *figures, "gate", "aliases")
    table(columns, [_cells(version, figures) for version in versions])
    note("Next: ./rd360 models show VERSION" if versions else "Next: ./rd360 train")


@app.command()
def show(version: VersionArgument, model_name: ModelName = None, as_json: Json = False) -> None:
    """Show a version: figures, parameters, and what the gate said."""
    registry = _registry(model_name)
    found = asdict(registry.show(version))
    if as_json:
        json_result({"name": registry.name, **found})
        return
    result(f"{registry.name} version {version} ({found['candidate']}), {', '.join(found['aliases']) or 'no alias'}")
    result(f"gate: {found['gate'] or 'not asked'}")
    for reason in found["reasons"]:
        result(f"  {reason}")
    table(("metric", "value"), [(name, cell(value)) for name, value in sorted(found["metrics"].items())])
    table(("parameter", "value"), sorted(found["params"].items()))


@app.command()
def compare(left: VersionArgument, right: VersionArgument, model_name: ModelName = None, as_json: Json = False) -> None:
    """Compare two versions, each by its own backtest; their judged days may differ."""
    registry = _registry(model_name)
    a, b = registry.show(left), registry.show(right)
    names = sorted(set(a.metrics) | set(b.metrics))
    params = sorted(name for name in set(a.params) | set(b.params) if a.params.get(name) != b.params.get(name))
    if as_json:
        metrics = {name: {left: a.metrics.get(name), right: b.metrics.get(name)} for name in names}
        json_result(
            {"metrics": metrics, "params": {name: {left: a.params.get(name), right: b.params.get(name)} for name in params}}
        )
        return
    table(("metric", left, right), [(name, cell(a.metrics.get(name)), cell(b.metrics.get(name))) for name in names])
    table(("parameter", left, right), [(name, a.params.get(name, "–"), b.params.get(name, "–")) for name in params])


def _registry(name: str | None) -> ModelRegistry:
    from training.registry import MODEL, ModelRegistry

    return ModelRegistry(load_settings(), name or MODEL)


def _cells(version: dict[str, Any], figures: list[str]) -> tuple[str, ...]:
    trained = dt.datetime.fromtimestamp(version["created_ms"] / 1000, dt.UTC)
    return (
        version["version"],
        version["candidate"],
        f"{trained:%Y-%m-%d %H:%M}",
        *(cell(version["metrics"].get(figure)) for figure in figures),
        version["gate"],
        ", ".join(version["aliases"]),
    )
