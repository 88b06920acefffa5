"""What is right and what is wrong on this machine, one finding a check."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from contracts.errors import RetailDemandError
from contracts.settings import Settings
from infra.stack import environments, fetch
from infra.stack.java import java, java_version
from infra.stack.place import Place
from infra.stack.ports import holder, is_taken
from infra.stack.secrets import check_mode, secrets_path
from infra.stack.services import services
from infra.stack.supervisor import Report, status

DISK_GB = 6.0  # the environments take 3.5, jars and a demo's data the rest
MEMORY_GB = 6.0  # all services without Airflow, MLflow and Superset, and a Spark job
GB = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: whether it holds, what was found, and what to do about it."""

    check: str
    ok: bool
    text: str
    hint: str = ""


def examine(settings: Settings) -> list[Finding]:
    """All findings, the machine first and the services last. Changes nothing."""
    place = Place(settings)
    place.home.mkdir(parents=True, exist_ok=True)
    reports = status(settings)
    return [
        _python(),
        _guarded("java", lambda: _java_text()),
        _disk(place),
        _memory(),
        _guarded("secrets", lambda: _secrets_text(place)),
        *(_jars(place, name) for name in fetch.SETS),
        *(_environment(place, name) for name in ("platform", "airflow", "superset")),
        *_ports(settings, reports),
        *(_service(report) for report in reports),
    ]


def _python() -> Finding:
    version = sys.version_info
    ok = (3, 11) <= version[:2] <= (3, 12)
    return Finding(
        "python", ok, f"{version[0]}.{version[1]}.{version[2]} in {sys.prefix}", "apt-get install -y python3 python3-venv"
    )


def _java_text() -> str:
    program = java()
    return f"{java_version(program)} at {program}"


def _disk(place: Place) -> Finding:
    free = shutil.disk_usage(place.home).free / GB
    return Finding(
        "disk",
        free >= DISK_GB,
        f"{free:.0f} GB free for {place.home}",
        f"Free {DISK_GB:.0f} GB, or set RD360_HOME to another disk.",
    )


def _memory() -> Finding:
    free = psutil.virtual_memory().available / GB
    return Finding("memory", free >= MEMORY_GB / 2, f"{free:.1f} GB available", f"The stack wants {MEMORY_GB:.0f} GB.")


def _secrets_text(place: Place) -> str:
    check_mode(place.home)
    path = secrets_path(place.home)
    return f"{path}, readable by its owner alone" if path.exists() else "none yet; the first `./rd360 up` makes them"


def _jars(place: Place, name: str) -> Finding:
    folder = place.jars / name
    if not folder.exists():
        return Finding(f"jars {name}", True, "not fetched yet")
    jars = [jar for jar in fetch.read_lock((place.checkout / fetch.LOCK).read_text(encoding="utf-8")) if jar.set == name]

    def check() -> str:
        fetch.verify(folder, jars)
        return f"{len(jars)} jars as locked"

    return _guarded(f"jars {name}", check)


def _environment(place: Place, name: str) -> Finding:
    folder = place.home / "venvs" / name
    if not folder.exists():
        return Finding(f"environment {name}", True, "not installed yet")
    current = environments.is_current(place, name)
    text = f"{folder}, as locked" if current else f"{folder} is not what requirements/{name}.txt says"
    return Finding(f"environment {name}", current, text, "The next command that needs it installs it.")


def _ports(settings: Settings, reports: list[Report]) -> list[Finding]:
    idle = {report.name for report in reports if report.state == "not started" and not report.external}
    claims = [claim for name, service in services(settings).items() if name in idle for claim in service.claims(settings)]
    taken = [f"{claim.port} ({claim.service} {claim.what}) by {holder(claim.port)}" for claim in claims if is_taken(claim.port)]
    text = f"{len(claims)} free" if not taken else "taken: " + "; ".join(taken)
    return [Finding("ports", not taken, text, "Stop those processes or set RD360_PORT_OFFSET.")]


def _service(report: Report) -> Finding:
    ok = report.healthy or report.state == "not started"
    return Finding(
        f"service {report.name}", ok, f"{report.state} {report.url} {report.why}".strip(), f"./rd360 logs {report.name}"
    )


def _guarded(check: str, find: Callable[[], str]) -> Finding:
    try:
        return Finding(check, True, find())
    except RetailDemandError as error:
        return Finding(check, False, str(error), error.hint)
