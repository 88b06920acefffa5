"""`rd360 test`: every check of the repository; with real servers unless it is `test unit`.

The lake's tests run beside all others, in a process and on a stack of their own: a Spark driver on few rows keeps one core busy.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated

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
LAKE_TESTS = "tests/integration/test_lake*.py"
LAKE_SERVICES = ("kafka", "valkey", "postgres", "s3")
GRACE_SECONDS = 60.0
NOTHING_SELECTED = 5  # pytest's exit code
# Spark's drivers in tests live for seconds, on few rows: the compiler that optimizes costs them more than it saves. Without it
# the JVM reserves a fifth of the room for compiled code, which the whole lake in one process overran after a minute.
SHORT_LIVED = {"SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC"}


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
    chosen = ["-k", select] if select else []
    with _beside(static_checks()) as checks:  # they take a core for half a minute, which the tests leave idle
        code = _pure_tests(chosen) if scope is Scope.unit else _all_tests(chosen)
        failed = [name for name, check in checks.items() if not check.passes(name)]
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


def free_offset(settings: Settings, taken: Callable[[int], bool] = is_taken, offsets: Sequence[int] = OFFSETS) -> int:
    """The first of the offsets, from the settings' own on, at which no port of the stack is taken.

    Two stacks far apart do not choose the same at the same moment. Raises ConfigurationError when there is none.
    """
    for offset in sorted(offsets, key=lambda offset: (offset < settings.port_offset, offset)):
        moved = settings.model_copy(update={"port_offset": offset})
        if not any(taken(claim.port) for service in services(moved).values() for claim in service.claims(moved)):
            return offset
    raise ConfigurationError(
        "There is no room for a second stack",
        doing="choosing ports for the tests' own stack",
        why=f"every offset from {offsets[0]} to {offsets[-1]} meets a port that is taken",
        hint="Stop what listens on so many ports.",
    )


def verdict(codes: Sequence[int], selecting: bool) -> int:
    """0 where all parts passed, else the first other exit code; a part that a signal ended has a negative one.

    With `selecting`, a part of which no test was selected says nothing, unless none says anything.
    """
    told = [code for code in codes if not (selecting and code == NOTHING_SELECTED)]
    return next((code for code in told if code), 0) if told else NOTHING_SELECTED


def _pure_tests(chosen: Sequence[str]) -> int:
    there = [folder for folder in PURE_TESTS if (CHECKOUT / folder).exists()]
    return _pytest([*there, "-m", "not stack", *chosen], {})


def _all_tests(chosen: Sequence[str]) -> int:
    """The lake's tests beside all others; see `verdict`."""
    lake = sorted(str(path.relative_to(CHECKOUT)) for path in CHECKOUT.glob(LAKE_TESTS))
    half = len(OFFSETS) // 2
    with (
        tempfile.TemporaryFile() as output,
        _stack("test-home", None, OFFSETS[:half]) as variables,
        _stack("test-home-lake", LAKE_SERVICES, OFFSETS[half:]) as lakes_variables,
    ):
        # two processes would write one cache
        command = _command([*lake, "-p", "no:cacheprovider", *chosen])
        beside = subprocess.Popen(command, cwd=CHECKOUT, env=_environment() | lakes_variables, stdout=output, stderr=output)
        try:
            codes = [_pytest(["tests", f"--ignore-glob={LAKE_TESTS}", *chosen], variables)]
            note("The lake's tests:")
            codes.append(beside.wait())
        finally:
            _end_in_order(beside)
        output.seek(0)
        note(output.read().decode(errors="replace"))
    return verdict(codes, selecting=bool(chosen))


@contextmanager
def _stack(home: str, only: Sequence[str] | None, offsets: Sequence[int]) -> Iterator[dict[str, str]]:
    """A stack in a home of its own beside the user's, stopped whatever happens; the environment of tests that use it."""
    settings = _tests_settings(load_settings(), home, offsets)
    supervisor.down(settings, note)  # what an interrupted run left
    for folder in ("data", "logs", "run"):
        shutil.rmtree(settings.home / folder, ignore_errors=True)
    try:
        supervisor.up(settings, only, note)
        yield settings_environment(settings) | {"RD360_HOME": str(settings.home)} | SHORT_LIVED
    finally:
        supervisor.down(settings)  # without a word: pytest's summary is the last thing to read


def _tests_settings(settings: Settings, name: str, offsets: Sequence[int]) -> Settings:
    home = Place(settings).home / name
    home.mkdir(parents=True, exist_ok=True)
    for shared in ("venvs", "jars", "bin"):  # what is only read need not be installed twice
        (home.parent / shared).mkdir(exist_ok=True)
        if not (home / shared).is_symlink():
            (home / shared).symlink_to(home.parent / shared, target_is_directory=True)
    return load_settings(home=home, port_offset=free_offset(settings, offsets=offsets))


def _pytest(arguments: Sequence[str], variables: dict[str, str]) -> int:
    return subprocess.run(_command(arguments), cwd=CHECKOUT, env=_environment() | variables, check=False).returncode


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "pytest", *arguments]


@dataclass(frozen=True, slots=True)
class _Check:
    """A static check that runs beside the tests, and what it prints."""

    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def passes(self, name: str) -> bool:
        """Waits for its end, says how it went, and why where it failed."""
        passed = self.process.wait() == 0
        note(f"{name}: {'ok' if passed else 'FAILED'}")
        if not passed:
            self.output.seek(0)
            note(self.output.read().decode(errors="replace"))
        return passed


@contextmanager
def _beside(commands: Mapping[str, Sequence[str]]) -> Iterator[dict[str, _Check]]:
    """The commands, running; none is left running whatever happens."""
    with ExitStack() as stack:
        checks = {}
        for name, command in commands.items():
            output = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(command, cwd=CHECKOUT, env=_environment(), stdout=output, stderr=output)
            stack.callback(_end, process)
            checks[name] = _Check(process, output)
        yield checks


def _end_in_order(process: subprocess.Popen[bytes]) -> None:
    """Tests stop the servers that they started, given the time. What is typed at a terminal reaches them without us."""
    for ask in (None, signal.SIGINT, signal.SIGKILL):
        if ask is not None:
            process.send_signal(ask)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # nothing where it has ended
    process.wait()


def _environment() -> dict[str, str]:
    """The caller's environment without its RD360_* settings: tests must not depend on them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RD360_")}
    return kept | {"PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
