"""`rd360 drill`: what goes wrong, done on purpose, and the proof that nothing is lost and nothing counted twice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.settings import load_settings
from infra.cli.console import note
from infra.cli.measuring import Json, Keep, Quick, conclude, end_as_interrupted

app = typer.Typer(
    no_args_is_help=True, callback=end_as_interrupted, help="Break things on purpose, and check that nothing is lost."
)
Data = Annotated[
    Path | None, typer.Option(help="A data set: a folder with lines.parquet. Without it, a simulated retailer.", file_okay=False)
]
Lines = Annotated[int | None, typer.Option(min=1, help="About so many receipt lines.")]
Seed = Annotated[int, typer.Option(help="The same seed sends the same.")]
Share = Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of the events.")]
Sample = Annotated[int, typer.Option(min=1, help="Keys of each view that are also held against the oracles.")]
QUICK_LINES = 5_000
QUICK_KILLS = 4
QUICK_SECONDS = 5.0


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
    sample: Sample = 1_000,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Replay history shuffled, repeated and partly too late; compare every online row with a batch recomputation."""
    from tests.drills.replay import Replay, run

    plan = Replay(data, QUICK_LINES if quick else lines, seed, sample, shuffle_hours, duplicates, late)
    conclude(run(load_settings(), plan), as_json=as_json, keep=keep)


@app.command()
def kill(
    kills: Annotated[int, typer.Option(min=1, help="How many, at named places and at random moments.")] = 200,
    lines: Lines = 1_000_000,
    data: Data = None,
    seed: Seed = 7,
    sample: Sample = 1_000,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Kill two workers again and again while receipts stream in; compare every online row with a batch recomputation."""
    from tests.drills.kill import KillPlan, run
    from tests.drills.kill_plan import ALL_PLACES, QUICK_PLACES
    from tests.drills.replay import Replay

    replayed = Replay(data, QUICK_LINES if quick else lines, seed=seed, sample=sample)
    plan = KillPlan(replayed, QUICK_KILLS if quick else kills, QUICK_PLACES if quick else ALL_PLACES)
    conclude(run(load_settings(), plan, note), as_json=as_json, keep=keep)


@app.command()
def outage(
    seconds: Annotated[float, typer.Option(min=1.0, help="How long the online store and then Kafka are away.")] = 60.0,
    lines: Lines = 50_000,
    data: Data = None,
    seed: Seed = 7,
    sample: Sample = 1_000,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Stop, empty and start the servers under a running worker; compare every online row. The servers are the drill's own."""
    from tests.drills.outage import OutagePlan, run
    from tests.drills.replay import Replay

    replayed = Replay(data, QUICK_LINES if quick else lines, seed=seed, sample=sample)
    plan = OutagePlan(replayed, QUICK_SECONDS if quick else seconds)
    conclude(run(load_settings(), plan, note), as_json=as_json, keep=keep)


@app.command()
def archive(
    data: Data = None,
    lines: Annotated[int, typer.Option(min=1, help="About so many receipt lines of a simulated retailer.")] = 200_000,
    duplicates: Share = 0.02,
    seed: Seed = 7,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Receipts from Kafka to gold, shuffled, repeated and partly cut off: every line accounted for, revenue to the cent."""
    from tests.drills.archive import Archive, run

    plan = Archive(data, QUICK_LINES if quick else lines, seed, duplicates=duplicates)
    conclude(run(load_settings(), plan, note), as_json=as_json, keep=keep)


@app.command("lake-kill")
def lake_kill(
    kills: Annotated[int, typer.Option(min=1, help="How many, at random moments of the jobs in turn.")] = 30,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="How long the S3 store and then PostgreSQL are away; 0: they stay.")
    ] = 60.0,
    lines: Lines = 50_000,
    data: Data = None,
    seed: Seed = 7,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Kill the lake's jobs again and again while events arrive, then compare every table with an undisturbed lake's."""
    from tests.drills.lake_jobs import JOBS, QUICK_JOBS
    from tests.drills.lake_kill import LakeKillPlan, run
    from tests.drills.replay import Replay

    replayed = Replay(data, QUICK_LINES if quick else lines, seed=seed, sample=0)
    if quick:
        plan = LakeKillPlan(replayed, len(QUICK_JOBS), QUICK_JOBS, away_seconds=0.0, whole=False)
    else:
        plan = LakeKillPlan(replayed, kills, JOBS, away_seconds=seconds, whole=True)
    conclude(run(load_settings(), plan, note), as_json=as_json, keep=keep)


@app.command()
def cluster(
    lines: Lines = 50_000,
    data: Data = None,
    seed: Seed = 7,
    quick: Quick = False,
    as_json: Json = False,
    keep: Keep = None,
) -> None:
    """Run the lake on a Spark cluster and kill a worker in the middle of silver; compare every table with a local lake's."""
    from tests.drills.cluster import ClusterPlan, run
    from tests.drills.replay import Replay

    replayed = Replay(data, QUICK_LINES if quick else lines, seed=seed, sample=0)
    plan = ClusterPlan(replayed, shares=1 if quick else 2, whole=not quick)
    conclude(run(load_settings(), plan, note), as_json=as_json, keep=keep)
