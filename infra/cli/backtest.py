"""`rd360 backtest`: judge the candidates by rolling origin, on the lake or on any panel; register nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.errors import UsageError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table
from infra.cli.options import CORES, ModelName, Threads, day
from infra.cli.train import Json, Origins, ProphetSeries, Rows, Seed, show

if TYPE_CHECKING:
    from training.panels.backtest import Backtest

app = typer.Typer()


@app.command()
def backtest(
    rows: Rows = 40_000,
    origins: Origins = 3,
    prophet_series: ProphetSeries = 100,
    seed: Seed = 7,
    panel: Annotated[Path | None, typer.Option(help="A panel folder, judged in place of the lake.", exists=True)] = None,
    origin: Annotated[
        list[str] | None, typer.Option(help="With --panel: an origin; repeatable. Default: the data set's.")
    ] = None,
    ets_series: Annotated[int, typer.Option(min=0, help="With --panel: series that get an AutoETS; 0: all.")] = 300,
    keep: Annotated[Path | None, typer.Option(help="With --panel: a folder that lets an interrupted run go on.")] = None,
    forecasts: Annotated[Path | None, typer.Option(help="With --panel: write the chosen forecasts to this parquet file.")] = None,
    html: Annotated[Path | None, typer.Option(help="With --panel: write a report with charts to this file.")] = None,
    threads: Threads = CORES,
    track: Annotated[
        bool, typer.Option(help="With --panel: keep run and model in MLflow; the gate decides on champion.")
    ] = False,
    model_name: ModelName = None,
    as_json: Json = False,
) -> None:
    """Judge models by rolling origin against seasonal naive; without --track nothing is registered."""
    if panel is None and track:
        raise UsageError("--track needs --panel", doing="reading the options", hint="`./rd360 train` registers the live model.")
    if panel is not None:
        from infra.panel_runs import Registry, backtest_panel

        done, kept = backtest_panel(
            panel,
            [day("--origin", text) for text in origin or []],
            ets_series=ets_series or None,
            prophet_series=prophet_series,
            threads=threads,
            seed=seed,
            keep=keep,
            forecasts=forecasts,
            html=html,
            track=Registry(load_settings(), model_name) if track else None,
            progress=note,
        )
        json_result(done.as_json() | {"model": kept}) if as_json else _show_panel(done, kept)
        return
    from contracts.clock import system_clock
    from infra.training_runs import Options, candidates, make_frame
    from training.backtest import backtest as run
    from training.marts import write_accuracy
    from training.tracking import accuracy_rows, summary

    settings, options = load_settings(), Options(rows, origins, prophet_series, seed)
    started = system_clock()
    test = run(make_frame(settings, options, note), candidates(options), note)
    accuracy = accuracy_rows(test)
    write_accuracy(settings, f"backtest-{started}", started, accuracy)
    if as_json:
        json_result({"candidates": summary(test), "accuracy": accuracy})
    else:
        show(summary(test))
    note("Next: ./rd360 train")


def _show_panel(done: Backtest, kept: dict[str, Any] | None) -> None:
    for scope in done.parts:
        for title, origins in (("all origins", None), (f"last origin, {done.origins[-1]}", [done.origins[-1]])):
            result(f"\n{scope}, {title}")
            scores = done.scores(scope, origins)
            columns = ("candidate", "rows", "WAPE", "bias", "RMSSE", "wRMSSE", "SPL", "cover .9", "cover .95", "crossing")
            table(columns, [(name, *_cells(score)) for name, score in scores.items()])
    for origin, why in done.choices.items():
        result(f"\n{origin}: {why['blend'] or 'no past to choose on'}, {done.seconds[origin]:.0f} s")

    if kept is not None:
        promoted = kept["decision"]["promoted"]
        result(f"\n{kept['name']} version {kept['version']} is {'the champion' if promoted else 'registered, not promoted'}")
        for reason in kept["decision"]["reasons"]:
            result(f"  {reason}")


def _cells(score: dict[str, Any]) -> list[str]:
    values = [score["wape"], score["bias"], score["rmsse"], score["wrmsse"], score["spl"]]
    values += [score["coverage"]["0.9"], score["coverage"]["0.95"], score["crossing"]]
    return [f"{score['rows']:,}", *("-" if value is None else f"{value:.4f}" for value in values)]
