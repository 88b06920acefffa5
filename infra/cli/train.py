"""`rd360 train`: fit the candidates, judge them, register the best, and let the gate decide."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from contracts.errors import NotPromotedError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table

app = typer.Typer()

Rows = Annotated[int, typer.Option(min=1000, help="Rows to learn from, and rows to be judged on, at most.")]
Origins = Annotated[int, typer.Option(min=1, max=12, help="Days from which past forecasts are made and judged.")]
ProphetSeries = Annotated[int, typer.Option(min=0, help="Series that get a Prophet model, those that sell most; 0: no Prophet.")]
Seed = Annotated[int, typer.Option(help="Of the sample and of the models.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def train(
    rows: Rows = 40_000, origins: Origins = 2, prophet_series: ProphetSeries = 100, seed: Seed = 7, as_json: Json = False
) -> None:
    """Train the candidates and let the gate choose. Exits 6 when the champion stays."""
    from contracts.clock import system_clock
    from infra.training_runs import Options, candidates, make_frame
    from lake.marts import record_job
    from lake.report import Stopwatch
    from training.marts import write_accuracy
    from training.registry import ModelRegistry
    from training.train import train as run

    settings, options = load_settings(), Options(rows, origins, prophet_series, seed)
    watch = Stopwatch("train")
    registry = ModelRegistry(settings)
    registry.champion_version()  # a registry that is down is better known now than after the fits
    frame = make_frame(settings, options, note)
    done = run(frame, candidates(options), registry, system_clock, note)
    report = done.as_json()
    write_accuracy(settings, done.run_id, done.started_ms, report["accuracy"])
    detail: dict[str, Any] = {"version": done.version, "candidate": done.candidate, "promoted": done.decision.promoted}
    record_job(settings, watch.report(len(frame.sampled), len(frame.judged), **detail))
    if as_json:
        json_result(report)
    else:
        show(report["candidates"])
        result(f"version {done.version} ({done.candidate}) is " + ("the champion" if done.decision.promoted else "registered"))
        for reason in done.decision.reasons:
            result(f"  {reason}")
    if not done.decision.promoted:
        raise NotPromotedError(
            f"Version {done.version} was not promoted; "
            + (f"version {done.champion} stays champion" if done.champion else "there is no champion"),
            doing="deciding on the promotion",
            why="; ".join(done.decision.reasons),
        )
    note("Next: ./rd360 forecast score, ./rd360 models list")


def show(candidates: dict[str, Any]) -> None:
    """The candidates as a table, the best by pinball loss first."""
    figures = ("wape", "bias", "pinball", "rmsse")
    order = sorted(candidates, key=lambda name: candidates[name]["pinball"] or 0.0)
    table(
        ("candidate", *figures, "covered by q0.9", "rows"),
        [
            (
                name,
                *(cell(candidates[name][figure]) for figure in figures),
                cell(candidates[name]["coverage"]["0.9"]),
                f"{candidates[name]['rows']:,}",
            )
            for name in order
        ],
    )


def cell(value: float | None) -> str:
    """A figure for a table; a dash where it has no meaning."""
    return "–" if value is None else f"{value:.4f}"
