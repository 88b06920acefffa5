"""`rd360 forecast score | show`: the nightly forecasts of all products on sale."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


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
