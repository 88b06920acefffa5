"""`rd360 demo`: the whole line on simulated receipts, checked by itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from contracts.errors import DataGateError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table

app = typer.Typer()


@app.command()
def demo(as_json: Annotated[bool, typer.Option("--json", help="Print all figures as one JSON document.")] = False) -> None:
    """Set up, start everything, run the whole line and check it. It is left running. Exits 5 when a claim does not hold."""
    from infra.demo import story
    from infra.demo.commands import Commands

    settings = load_settings()
    settings.home.mkdir(parents=True, exist_ok=True)
    commands = Commands(settings.home / "logs" / "demo.log", note)
    figures = story.run(settings, commands)
    target = settings.home / "demo.json"
    story.write(figures, target)
    if as_json:
        json_result(figures)
    else:
        _show(figures)
    note(f"All figures: {target}. Secrets: {settings.home / 'secrets.json'}. Stop everything: ./rd360 down")
    if figures["broken"]:
        raise DataGateError(
            f"{len(figures['broken'])} claims of the demo do not hold",
            doing="checking its figures",
            why="; ".join(figures["broken"]),
            hint=f"What every step said is in {commands.log}.",
        )


def _show(figures: dict[str, Any]) -> None:
    lake, parity, reacted, order = figures["lake"], figures["parity"], figures["reaction"], figures["order"]
    champion, order_text = figures["models"]["champion"], order["explanation"]
    lines = figures["produced"]["lines"]["sales"]
    kept, bad, again = (lake[part]["sales"] for part in ("silver", "quarantined", "duplicates"))
    wape = ", ".join(f"{name} {value:.3f}" for name, value in sorted(figures["models"]["wape"].items(), key=lambda one: one[1]))
    memory = figures["memory_megabytes"]
    table(
        ("what", "seen"),
        [
            ("receipt lines", f"{lines} in = {kept} silver + {bad} quarantined + {again} duplicates"),
            ("dead letters", f"{sum(figures['dead_letters'].values())}, as many quarantined"),
            ("parity", f"{parity['features_compared']} values compared, {parity['feature_mismatches']} mismatches"),
            ("WAPE", wape),
            ("champion", f"{champion['candidate']}, version {champion['version']}"),
            (
                "a burst of sales",
                f"{reacted['burst_units']} units of {reacted['product_id']}: next {7} days {reacted['before_units']} -> "
                f"{reacted['after_units']} units, {reacted['seconds']} s after the first receipt",
            ),
            ("order", order_text),
            ("Airflow", f"{figures['airflow']['dag_id']}: {figures['airflow']['state']}"),
            ("Superset", f"{len(figures['superset']['charts'])} charts with rows"),
            (
                "memory",
                f"{memory['all_services']} MB, {memory['without_airflow_mlflow_superset']} MB without Airflow, MLflow, Superset",
            ),
            ("time", f"{figures['seconds']['total']:.0f} s"),
        ],
    )
    for name, service in figures["services"].items():
        result(f"  {name:<10} {service['url']}")
