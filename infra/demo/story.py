"""The demo's stages, in order, and the figures that each leaves behind."""

from __future__ import annotations

import json
import platform
import time
from pathlib import Path
from typing import Any

from contracts.clock import system_clock
from contracts.errors import DataGateError
from contracts.features import CATALOGUE_FINGERPRINT
from contracts.settings import Settings, load_settings
from contracts.vector import VECTOR_FINGERPRINT
from infra.api_client import Api
from infra.demo import measure, reaction
from infra.demo.commands import Commands
from infra.demo.verdict import broken_claims
from infra.stack import supervisor

SEED, STORES, PRODUCTS, HISTORY_DAYS = 7, 4, 25, 120
FAULTS = ("--duplicates", "0.01", "--late", "0.005", "--malformed", "0.002")
WORLD = ("--seed", str(SEED), "--stores", str(STORES), "--products", str(PRODUCTS))
NOT_PROMOTED = 6  # the champion of an earlier run is still the better one: that is a result


def run(settings: Settings, commands: Commands) -> dict[str, Any]:
    """Runs the whole line and returns its figures, with `broken` naming each claim that does not hold."""
    started, began = system_clock(), time.monotonic()
    figures: dict[str, Any] = {"started_ms": started, "object_store": settings.object_store, "machine": _machine()}
    with commands.stage("up", "Starting the stack"):
        supervisor.up(settings, progress=commands.say)
    settings = load_settings()  # the first start has made the secrets
    first = not _has_history(settings)
    with commands.stage(
        "produce", "Receipts, stock and prices: " + (f"{HISTORY_DAYS} days" if first else "half a minute of live sales")
    ):
        start = measure.end_offsets(settings)
        sent = _produce(settings, commands, first)
    with commands.stage("stream", "Rolling features into the online store"):
        commands.run("stream", "drain", "--json")
        span = measure.Span(start, measure.end_offsets(settings))  # after the worker: it writes the dead letters
    if first or not _has_champion(commands):
        _first_model(settings, commands)
    champion = _champion(commands)
    with commands.stage("reaction", "A burst of sales, and what the forecast makes of it"):
        reaction.wait_for_model(settings, str(champion["version"]))
        figures["reaction"], figures["order"] = _react(settings)
    with commands.stage("airflow", "The daily run, by Airflow"):
        figures["airflow"] = commands.run("dags", "trigger", "rd360_daily", "--wait", "--json")
    with commands.stage("dashboards", "Dashboards"):
        figures["superset"] = _dashboards(commands)
    with commands.stage("checks", "Counting"):
        figures |= _measured(settings, span, sent, champion, started)
    figures["services"], figures["memory_megabytes"] = _services(commands)
    figures["seconds"] = commands.seconds | {"total": round(time.monotonic() - began, 1)}
    figures["broken"] = broken_claims(figures)
    return figures


def write(figures: dict[str, Any], path: Path) -> None:
    """Writes the figures as JSON."""
    path.write_text(json.dumps(figures, indent=2, default=str) + "\n", encoding="utf-8")


def _has_history(settings: Settings) -> bool:
    sales = measure.end_offsets(settings).get(f"{settings.topic_prefix}sales", {})
    return sum(sales.values()) > 0


def _produce(settings: Settings, commands: Commands, first: bool) -> dict[str, Any]:
    master_data = settings.home / "demo-master-data"
    history = ("--days", str(HISTORY_DAYS), "--master-data", str(master_data))
    live = ("--rate", "20", "--minutes", "0.5")
    return dict(commands.run("produce", "simulate", *(history if first else live), *WORLD, *FAULTS))


def _first_model(settings: Settings, commands: Commands) -> None:
    with commands.stage("lake", "The archive: bronze, silver, gold, offline features"):
        master_data = settings.home / "demo-master-data"
        if master_data.exists():
            commands.run("lake", "reference", str(master_data), "--json")
        commands.run("lake", "run", "--json")
        commands.run("features", "materialize", "--json")
    with commands.stage("train", "Seasonal naive, XGBoost and Prophet by rolling origin"):
        commands.run("train", "--json", accept=(0, NOT_PROMOTED))


def _has_champion(commands: Commands) -> bool:
    return _find_champion(commands) is not None


def _champion(commands: Commands) -> dict[str, Any]:
    champion = _find_champion(commands)
    if champion is None:
        raise DataGateError(
            "No model was promoted", doing="looking for the champion", hint="`./rd360 models list` gives the reasons."
        )
    return champion


def _find_champion(commands: Commands) -> dict[str, Any] | None:
    versions: list[dict[str, Any]] = commands.run("models", "list", "--json")["models"]
    return next((version for version in versions if "champion" in version["aliases"]), None)


def _react(settings: Settings) -> tuple[dict[str, Any], dict[str, Any]]:
    from featurestore.online import open_online_store

    store = open_online_store(settings)
    try:
        rows = store.read("sales_rolling", sorted(store.scan("sales_rolling")))
    finally:
        store.close()
    burst, api = reaction.plan_burst(row for row in rows if row is not None), Api(settings)
    return reaction.react(settings, api, burst), reaction.order(api, burst.store_id, burst.product_id)


def _dashboards(commands: Commands) -> dict[str, Any]:
    commands.run("dashboards", "apply", "--json")
    charts = commands.run("dashboards", "check", "--json")
    return {"charts": {chart["name"]: chart["rows"] for chart in charts}}


def _measured(
    settings: Settings, span: measure.Span, sent: dict[str, Any], champion: dict[str, Any], started: int
) -> dict[str, Any]:
    from featurestore.offline import open_offline_store

    offline = open_offline_store(settings)
    try:
        lake = measure.lake_counts(settings, offline, span)
        lake["served_forecasts"] = measure.served_in_lake(offline, str(champion["version"]), started)
    finally:
        offline.close()
    lines = sent["lines"] + sent["duplicate_lines"] + sent["malformed"]
    return {
        "produced": sent
        | {
            "messages": measure.messages(settings, span),
            "lines": {"sales": lines, "inventory": sent["inventory"], "prices": sent["prices"]},
            "receipt_lines": sent["lines"],
        },
        "lake": lake,
        "dead_letters": measure.dead_letters(settings, span),
        "parity": measure.parity_since(settings, started),
        "models": {
            "wape": measure.accuracy(settings, champion["run_id"]),
            "champion": champion,
            "feature_fingerprint": CATALOGUE_FINGERPRINT,
            "vector_fingerprint": VECTOR_FINGERPRINT,
        },
    }


def _services(commands: Commands) -> tuple[dict[str, Any], dict[str, float]]:
    services = {service["name"]: service for service in commands.run("status", "--json", accept=(0, 4))}
    kept = {
        name: {"state": one["state"], "url": one["url"], "memory_megabytes": round(one["memory_bytes"] / 1e6)}
        for name, one in services.items()
    }
    heavy = ("airflow", "mlflow", "superset")
    total = sum(one["memory_megabytes"] for one in kept.values())
    lean = sum(one["memory_megabytes"] for name, one in kept.items() if name not in heavy)
    return kept, {"all_services": total, "without_airflow_mlflow_superset": lean}


def _machine() -> dict[str, Any]:
    import psutil

    return {
        "cores": psutil.cpu_count(),
        "memory_gigabytes": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": platform.system(),
    }
