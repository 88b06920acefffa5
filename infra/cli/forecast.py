"""`rd360 forecast`: of any panel from an origin; `score | show`: the nightly forecasts of all products on sale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import UsageError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table
from infra.cli.options import CORES, ModelName, Threads, day

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.callback(invoke_without_command=True)
def panel(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Option("--panel", help="A folder with dataset.json and panel.parquet.", exists=True)
    ] = None,
    origin: Annotated[str | None, typer.Option(help="The last period of history, such as 2025-06-30.")] = None,
    out: Annotated[Path | None, typer.Option(help="The parquet file to write.")] = None,
    horizon: Annotated[int | None, typer.Option(min=1, help="Periods to forecast; default: the data set's.")] = None,
    every: Annotated[
        bool, typer.Option("--every-candidate", help="AutoETS and Prophet take part too, for the largest series.")
    ] = False,
    threads: Threads = CORES,
    seed: Annotated[int, typer.Option(help="Of the sample and of the models.")] = 7,
    track: Annotated[bool, typer.Option(help="Keep the model in MLflow, with its parameters and past errors.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Forecast with a kept model and learn nothing: a version, champion or challenger.")
    ] = None,
    model_name: ModelName = None,
    as_json: Json = False,
) -> None:
    """Forecast any panel: `--panel DIR --origin DATE --out FILE`. Nothing after the origin is read but prices and x_ columns."""
    if context.invoked_subcommand is not None:
        return
    if folder is None or origin is None or out is None:
        raise UsageError(
            "--panel, --origin and --out are needed together", doing="reading the options", hint="Or `score`, `show`: see --help."
        )
    if model is not None and (track or every):
        raise UsageError("--model learns nothing: --track and --every-candidate do not go with it", doing="reading the options")
    from infra.panel_runs import Registry, forecast_by_model, forecast_panel

    at = day("--origin", origin)
    if model is not None:
        registry = Registry(load_settings(), model_name)
        done = forecast_by_model(folder, at, out, horizon, version=model, registry=registry, threads=threads)
    else:
        kept = Registry(load_settings(), model_name) if track else None
        done = forecast_panel(folder, at, out, horizon, every=every, threads=threads, seed=seed, track=kept, progress=note)
    if as_json:
        json_result(done)
        return
    kept_as = done.get("model")
    blend = f"{kept_as['name']} version {kept_as['version']}" if kept_as else done["choice"]["blend"] or "the default"
    result(f"{done['series']:,} series, {done['rows']:,} rows to {out}, by {blend}, {done['seconds']:.1f} s")
    if done["known_up_to"] < done["origin"]:
        note(f"Nothing is known after {done['known_up_to']}: that is what it was made from, with longer leads.")
    note(f"Next: ./rd360 backtest --panel {folder}")


@app.command()
def score(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Forecast every product on sale as of the latest snapshot, into the lake and the marts."""
    from infra.training_runs import calendars, offline_store
    from lake.marts import record_job
    from lake.report import Stopwatch
    from training.marts import replace_forecasts
    from training.registry import load_champion
    from training.score import keep, score_all

    settings = load_settings()
    watch = Stopwatch("forecast score")
    model = load_champion(settings)
    with offline_store(settings) as offline:
        forecasts = score_all(offline, model, calendars(settings))
        if not dry_run:
            keep(offline, forecasts)
    if not dry_run:
        replace_forecasts(settings, forecasts)
    series = len(set(zip(forecasts["store_id"].to_pylist(), forecasts["product_id"].to_pylist(), strict=True)))
    report = watch.report(series, forecasts.num_rows, model=model.name, version=model.version)
    if not dry_run:
        record_job(settings, report)
    if as_json:
        json_result({**report.as_dict(), "dry_run": dry_run})
    else:
        result(f"{series:,} series, {forecasts.num_rows:,} days by {model.name} version {model.version}, {report.seconds:.1f} s")
    note("Next: ./rd360 forecast show --store S --product P")


@app.command()
def show(
    store: Annotated[str, typer.Option(help="The store's id.")],
    product: Annotated[str, typer.Option(help="The product's id.")],
    as_json: Json = False,
) -> None:
    """Show the latest nightly forecast of a product in a store, in units a day."""
    from training.marts import read_forecast
    from training.tracking import QUANTILE_COLUMNS

    days = read_forecast(load_settings(), store, product)
    if as_json:
        json_result(days)
        return
    first = days[0]
    result(f"{product} in {store} as of {first['as_of']}, {first['model_name']} version {first['model_version']}")
    columns = ("mean", *QUANTILE_COLUMNS)
    table(("day", *columns), [(day["target_day"], *(f"{day[column]:.1f}" for column in columns)) for day in days])
    note("The day of the as-of time is what is left of it. Live forecasts: POST /v1/forecasts, see docs/api.md")
