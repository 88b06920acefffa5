"""`rd360 bench`: measures the platform on the running stack, each figure beside the bar it is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.settings import load_settings
from infra.cli.console import note
from infra.cli.measuring import Json, Keep, Quick, conclude

app = typer.Typer(no_args_is_help=True)


@app.command()
def stream(
    data: Annotated[
        Path | None, typer.Option(help="A data set: a folder with lines.parquet. Without it receipts are simulated.", exists=True)
    ] = None,
    lines: Annotated[int | None, typer.Option(min=1, help="About so many receipt lines; all of a data set otherwise.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Rounds; each contestant runs once in each.")] = 3,
    quix: Annotated[bool, typer.Option(help="Also measure Quix Streams, in an environment that is made for it.")] = True,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Receipts from Kafka to rows that Feast reads: lines/s beside a bare loop and beside Quix Streams. Exits 5 below a bar."""
    from tests.bench.stream import run

    outcome = run(load_settings(), data, lines, runs, note, quick=quick, with_quix=quix)
    conclude(outcome, as_json=as_json, keep=keep)


@app.command()
def freshness(
    rate: Annotated[float, typer.Option(min=1, help="Receipt lines a second.")] = 1_000.0,
    minutes: Annotated[float, typer.Option(min=0.1)] = 10.0,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """From when a receipt is due to when Feast reads it, at a steady rate that waits for nobody. Exits 5 above a bar."""
    from tests.bench.freshness import run

    conclude(run(load_settings(), rate, minutes, note, quick=quick), as_json=as_json, keep=keep)
