"""`rd360 promote VERSION`: make a version the champion by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.errors import NotPromotedError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, result
from infra.cli.options import ModelName

app = typer.Typer()


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="The number of a version: see `models list`.")],
    force: Annotated[bool, typer.Option("--force", help="Although the gate refused it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    model_name: ModelName = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Make a model version the champion, if the gate agreed with it. Exits 6 when it did not."""
    from training.registry import MODEL, PANEL, PASSED, ModelRegistry

    registry = ModelRegistry(load_settings(), model_name or MODEL)
    found = registry.show(version)
    if found.gate != PASSED and not force:
        raise NotPromotedError(
            f"Version {version} did not pass the gate",
            doing="promoting it by hand",
            why="; ".join(found.reasons) or "the gate was never asked",
            hint="`--force` promotes it all the same.",
        )
    if found.kind == PANEL:
        from training.panels.registered import read_model  # imports training libraries, which the live model's scorer needs not

        read_model(registry, version)
    else:
        registry.load(version)  # one that cannot be loaded, or reads other inputs, is not worth an outage
    before = registry.champion_version() if dry_run else registry.promote(version)
    if as_json:
        json_result({"name": registry.name, "version": version, "before": before, "dry_run": dry_run})
    else:
        result(f"{registry.name} version {version} {'would be' if dry_run else 'is'} champion, before it {before or 'none'}")
    note("Next: ./rd360 rollback undoes it")
