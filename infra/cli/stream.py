"""`rd360 stream`: the topics, the worker, how far it is, its dead letters, and the schemas of its events."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from contracts.settings import load_settings
from infra.cli.console import json_result, table

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]


@app.command()
def topics(as_json: Json = False, dry_run: DryRun = False) -> None:
    """Create the topics that are missing; refuse those that could not keep the contract."""
    from streams.declare import declare

    declared = declare(load_settings(), dry_run=dry_run)
    if as_json:
        json_result([dataclasses.asdict(topic) for topic in declared])
    else:
        table(("topic", "partitions", "action"), [(t.name, str(t.partitions), t.action) for t in declared])
