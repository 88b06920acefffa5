"""`rd360 up | down | status | logs | doctor`: the local stack."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ConfigurationError, NotFoundError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, result, table
from infra.stack import supervisor
from infra.stack.daemon import log_tail
from infra.stack.place import Place
from infra.stack.services import services

up_app = typer.Typer()
down_app = typer.Typer()
status_app = typer.Typer()
logs_app = typer.Typer()
doctor_app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
MEGABYTE = 1024 * 1024


@up_app.command()
def up(only: Annotated[list[str] | None, typer.Option(help="Start this service and what it needs; repeatable.")] = None) -> None:
    """Start the local stack, or what is missing of it, and wait until it is ready."""
    reports = supervisor.up(load_settings(), only, note)
    _show(reports)
    note("Next: ./rd360 status, ./rd360 demo, ./rd360 down")


@down_app.command()
def down() -> None:
    """Stop everything of the local stack. Its data stay; the next `up` finds them."""
    killed = supervisor.down(load_settings(), note)
    note(f"Stopped; no process and no port of ours is left{f' ({killed} had to be killed)' if killed else ''}.")


@status_app.command()
def status(as_json: Json = False) -> None:
    """Show each service: state, memory, uptime, address. Exits 4 when one that was started does not serve."""
    reports = supervisor.status(load_settings())
    if as_json:
        json_result([dataclasses.asdict(report) | {"healthy": report.healthy} for report in reports])
    else:
        _show(reports)
    if any(not report.healthy and report.state != "not started" for report in reports):
        raise typer.Exit(4)


@logs_app.command()
def logs(
    name: Annotated[str, typer.Argument(help="The service; `supervisor` for the process that owns them.")],
    lines: Annotated[int, typer.Option(min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
) -> None:
    """Show the log of a service."""
    settings = load_settings()
    known = [*services(settings), "supervisor"]
    path = Place(settings).log(name)
    if name not in known or not path.exists():
        raise NotFoundError(f"There is no log of {name!r}", doing="looking for logs", hint=f"Services: {', '.join(known)}.")
    for line in log_tail(path, lines):
        result(line)
    if follow:
        _follow(path)


@doctor_app.command()
def doctor() -> None:
    """Check the machine, the installation, the secrets and the services. Exits 3 when something is wrong."""
    from infra.stack.doctor import examine  # imported here: the other commands start faster without it

    findings = examine(load_settings())
    table(("", "check", "finding"), [("ok" if f.ok else "NO", f.check, f.text) for f in findings])
    wrong = [f for f in findings if not f.ok]
    if wrong:
        raise ConfigurationError(
            f"{len(wrong)} of {len(findings)} checks do not hold",
            why="; ".join(f.check for f in wrong),
            hint="; ".join(f.hint for f in wrong if f.hint),
        )


def _show(reports: list[supervisor.Report]) -> None:
    rows = [
        (r.name, r.state, f"{r.memory_bytes / MEGABYTE:.0f} MB" if r.pids else "", _duration(r.uptime_seconds), r.url, _remark(r))
        for r in reports
    ]
    table(("service", "state", "memory", "up", "address", ""), rows)
    total = sum(r.memory_bytes for r in reports)
    if total:
        result(f"{total / MEGABYTE:.0f} MB together")
    for report in reports:
        for line in report.log_tail if not report.healthy else ():
            result(f"  {report.name} | {line}")


def _remark(report: supervisor.Report) -> str:
    restarts = f"restarted {report.restarts} times" if report.restarts else ""
    return "; ".join(part for part in (restarts, report.why) if part)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _follow(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(0, 2)
        while True:
            line = file.readline()
            if line:
                result(line.decode(errors="replace").rstrip("\n"))
            else:
                time.sleep(0.2)
