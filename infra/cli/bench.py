"""`rd360 bench`: measures the platform on the running stack, each figure beside the bar it is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import UsageError
from contracts.settings import load_settings
from infra.cli.console import note
from infra.cli.measuring import Json, Keep, Quick, conclude, end_as_interrupted

app = typer.Typer(no_args_is_help=True, callback=end_as_interrupted, help="Measure the platform, held to its bars.")


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


@app.command()
def keys(
    keys: Annotated[str, typer.Option(help="Numbers of keys, with commas between.")] = "1000,10000,100000,1000000",
    lines: Annotated[int, typer.Option(min=1, help="Lines over each number of keys.")] = 500_000,
    runs: Annotated[int, typer.Option(min=1, help="Times over, in turns.")] = 3,
    lines_long: Annotated[int | None, typer.Option(min=1, help="Then so many lines, while memory is watched.")] = None,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """The same number of lines over more and more keys: speed, memory and bytes a key. Exits 5 below a bar."""
    from tests.bench.keys import run

    counts = _numbers("--keys", keys)
    outcome = run(load_settings(), counts, lines, 1 if quick else runs, lines_long, note, quick=quick)
    conclude(outcome, as_json=as_json, keep=keep)


@app.command()
def recovery(
    keys: Annotated[int, typer.Option(min=1_000, help="Keys with a state.")] = 200_000,
    runs: Annotated[int, typer.Option(min=1, help="Kills of each kind.")] = 3,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """From the start of a worker that was killed to ready, with its local states and without. Exits 5 above a bar."""
    from tests.bench.recovery import run

    conclude(run(load_settings(), keys, 1 if quick else runs, note, quick=quick), as_json=as_json, keep=keep)


@app.command()
def bronze(
    events: Annotated[int, typer.Option(min=1, help="How many receipts.")] = 1_000_000,
    runs: Annotated[int, typer.Option(min=1)] = 3,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Kafka to bronze on one core, beside a bare consumer. Exits 5 below a bar."""
    from tests.bench.bronze import run

    conclude(run(load_settings(), events, runs, note, quick=quick), as_json=as_json, keep=keep)


@app.command()
def lake(
    lines: Annotated[str, typer.Option(help="Numbers of receipt lines, with commas between.")] = "1000000,5000000,50000000",
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Bronze to silver, gold and features by Spark, beside DuckDB doing the same SQL. Exits 5 below a bar."""
    from tests.bench.lake import run

    conclude(run(load_settings(), _numbers("--lines", lines), note, quick=quick), as_json=as_json, keep=keep)


@app.command("small-files")
def small_files(
    days: Annotated[int, typer.Option(min=1, help="Days of one-minute micro-batches.")] = 7,
    mb_a_day: Annotated[int, typer.Option("--mb-a-day", min=1, help="Megabytes of each day.")] = 400,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Merge the small files of a week of one-minute commits while a reader reads. Exits 5 below a bar."""
    from tests.bench.small_files import run

    conclude(run(load_settings(), days, mb_a_day, note, quick=quick), as_json=as_json, keep=keep)


@app.command()
def train(
    panel: Annotated[Path | None, typer.Option(help="A panel folder. Without it one is simulated.", exists=True)] = None,
    runs: Annotated[int, typer.Option(min=1, help="Rounds; each side runs once in each.")] = 3,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """A panel learnt and forecast with quantiles, beside mlforecast + XGBoost: seconds and errors. Exits 5 below a bar."""
    from tests.bench.train import run

    conclude(run(load_settings(), panel, runs, note, quick=quick), as_json=as_json, keep=keep)


def _numbers(option: str, text: str) -> list[int]:
    """Whole numbers of at least 1,000 with commas between. Raises UsageError."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{option} {text} are not numbers", doing="reading the options", hint="Such as 1000,10000.") from error
    if min(found) < 1_000:
        raise UsageError(f"{option} {text}: fewer than 1,000 say nothing", doing="reading the options")
    return found
