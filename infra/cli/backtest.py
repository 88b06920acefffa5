"""`rd360 backtest`: judge the candidates by rolling origin, register nothing."""

from __future__ import annotations

import typer

from contracts.settings import load_settings
from infra.cli.console import json_result, note
from infra.cli.train import Json, Origins, ProphetSeries, Rows, Seed, show

app = typer.Typer()


@app.command()
def backtest(
    rows: Rows = 40_000, origins: Origins = 3, prophet_series: ProphetSeries = 100, seed: Seed = 7, as_json: Json = False
) -> None:
    """Judge models by rolling origin against seasonal naive; nothing is registered."""
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
