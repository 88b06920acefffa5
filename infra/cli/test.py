"""`rd360 test`: every check of the repository; with real servers unless it is `test unit`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ConfigurationError
from contracts.settings import CHECKOUT, Settings, load_settings
from infra.cli.console import note
from infra.stack import supervisor
from infra.stack.place import Place, settings_environment
from infra.stack.ports import is_taken
from infra.stack.services import services

app = typer.Typer()

PACKAGES = ("contracts", "featurestore", "streams", "lake", "training", "serving", "infra")
PURE_TESTS = ("tests/unit", "tests/property", "tests/contract", "tests/golden", "tests/architecture")
# all ports stay below 32768, where Linux begins to lend ports to outgoing connections
OFFSETS = range(11_000, 13_300, 50)


class Scope(StrEnum):
    """What to run."""

    everything = "all"
    unit = "unit"


@app.command()
def run_tests(
    scope: Annotated[Scope, typer.Argument(help="`unit` runs what needs no server.")] = Scope.everything,
    select: Annotated[str | None, typer.Option("-k", help="Passed on to pytest: only tests whose name matches.")] = None,
) -> None:
    """Lint, types, import rules and tests; everything but `unit` also on a stack of its own, which is stopped at the end."""
    failed = [name for name, command in static_checks().items() if not _passes(name, command)]
    chosen = ["-k", select] if select else []
    code = _pure_tests(chosen) if scope is Scope.unit else _all_tests(chosen)
    if failed:
        note(f"Failed: {', '.join(failed)}{'' if code == 0 else ' and tests'}")
    raise typer.Exit(code or int(bool(failed)))


def static_checks() -> dict[str, list[str]]:
    """The checks that read the code and run none of it, by name."""
    tool = Path(sys.executable).parent
    return {
        "lint": [str(tool / "ruff"), "check", "--quiet", "."],
        "format": [str(tool / "ruff"), "format", "--quiet", "--check", "."],
        "types": [sys.executable, "-m", "mypy", *(part for package in PACKAGES for part in ("-p", package))],
        "imports": [str(tool / "lint-imports"), "--no-logo"],
    }


def free_offset(settings: Settings, taken: Callable[[int], bool] = is_taken) -> int:
    """The first of OFFSETS at which no port of the stack is taken. Raises ConfigurationError when there is none."""
    for offset in OFFSETS:
        moved = settings.model_copy(update={"port_offset": offset})
        if not any(taken(claim.port) for service in services(moved).values() for claim in service.claims(moved)):
            return offset
    raise ConfigurationError(
        "There is no room for a second stack",
        doing="choosing ports for the tests' own stack",
        why=f"every offset from {OFFSETS.start} to {OFFSETS.stop} meets a port that is taken",
        hint="Stop what listens on so many ports.",
    )


def _pure_tests(chosen: Sequence[str]) -> int:
    there = [folder for folder in PURE_TESTS if (CHECKOUT / folder).exists()]
    return _pytest([*there, "-m", "not stack", *chosen], {})


def _all_tests(chosen: Sequence[str]) -> int:
    """Starts a stack in a home of its own beside the user's, runs all tests on it, and stops it whatever happens."""
    settings = _tests_settings(load_settings())
    supervisor.down(settings, note)  # what an interrupted run left
    for folder in ("data", "logs", "run"):
        shutil.rmtree(settings.home / folder, ignore_errors=True)
    try:
        supervisor.up(settings, None, note)
        return _pytest(["tests", *chosen], settings_environment(settings) | {"RD360_HOME": str(settings.home)})
    finally:
        supervisor.down(settings)  # without a word: pytest's summary is the last thing to read


def _tests_settings(settings: Settings) -> Settings:
    home = Place(settings).home / "test-home"
    home.mkdir(parents=True, exist_ok=True)
    for shared in ("venvs", "jars", "bin"):  # what is only read need not be installed twice
        (home.parent / shared).mkdir(exist_ok=True)
        if not (home / shared).is_symlink():
            (home / shared).symlink_to(home.parent / shared, target_is_directory=True)
    return load_settings(home=home, port_offset=free_offset(settings))


def _pytest(arguments: Sequence[str], variables: dict[str, str]) -> int:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=CHECKOUT, env=_environment() | variables, check=False
    ).returncode


def _passes(name: str, command: Sequence[str]) -> bool:
    done = subprocess.run(command, cwd=CHECKOUT, env=_environment(), capture_output=True, text=True, check=False)
    note(f"{name}: {'ok' if done.returncode == 0 else 'FAILED'}")
    if done.returncode != 0:
        note(done.stdout + done.stderr)
    return done.returncode == 0


def _environment() -> dict[str, str]:
    """The caller's environment without its RD360_* settings: tests must not depend on them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RD360_")}
    return kept | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
