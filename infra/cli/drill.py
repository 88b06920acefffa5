"""`rd360 drill replay | kill | outage`: what goes wrong, done on purpose, and the proof that nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.settings import load_settings
from infra.cli.measuring import Json, Keep, Quick, conclude

app = typer.Typer(no_args_is_help=True)
Data = Annotated[
    Path | None, typer.Option(help="A data set: a folder with lines.parquet. Without it, a simulated retailer.", file_okay=False)
]
Lines = Annotated[int | None, typer.Option(min=1, help="About so many receipt lines.")]
Seed = Annotated[int, typer.Option(help="The same seed sends the same.")]
Share = Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of the events.")]
QUICK_LINES = 5_000


@app.callback()
def drill() -> None:
    """Break things on purpose, and check that nothing is lost."""


@app.command()
def replay(
    data: Data = None,
    lines: Lines = None,
    shuffle_hours: Annotated[
        float, typer.Option(min=0.0, help="Each event arrives up to so many hours after it happened.")
    ] = 24.0,
    duplicates: Share = 0.02,
    late: Share = 0.01,
    seed: Seed = 7,
    sample: Annotated[int, typer.Option(min=1, help="Keys of each view that are also held against the oracles.")] = 1_000,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Replay history shuffled, repeated and partly too late; compare every online row with a batch recomputation."""
    from tests.drills.replay import Replay, run

    plan = Replay(data, QUICK_LINES if quick else lines, shuffle_hours, duplicates, late, seed, sample)
    conclude(run(load_settings(), plan), as_json=as_json, keep=keep)
