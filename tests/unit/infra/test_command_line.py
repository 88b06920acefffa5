"""`rd360` as a program: quick help, and one clear account of every kind of failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from contracts.errors import DependencyUnavailable
from contracts.settings import CHECKOUT
from infra.cli import __main__ as cli


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """An app that stands in the list of commands as `probe`."""
    app = typer.Typer()
    monkeypatch.setitem(cli.COMMANDS, "probe", ("infra.cli.console:probe", "A command of this test."))
    monkeypatch.setattr("infra.cli.console.probe", app, raising=False)
    return app


def test_help_lists_each_command_whose_module_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    listed = capsys.readouterr().out
    for name in ("up", "down", "status", "logs", "doctor", "test"):
        assert f"\n  {name} " in listed


def test_help_imports_no_command_and_nothing_heavy() -> None:
    script = "import sys; from infra.cli.__main__ import main; main(['--help']); print(*sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True, check=True
    )
    assert not {"pydantic", "rich", "infra.cli.stack", "psutil"} & set(done.stderr.split())


def test_an_unknown_command_is_a_usage_error_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["statsu"]) == 2
    assert "Did you mean 'status'" in capsys.readouterr().err


def test_an_error_of_ours_says_what_while_why_and_what_to_try(command: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    @command.command()
    def fail() -> None:
        raise DependencyUnavailable("Kafka is down", doing="asking it", why="refused", hint="./rd360 up")

    assert cli.main(["probe"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Dependency unavailable: Kafka is down",
        "  while: asking it",
        "  why:   refused",
        "  try:   ./rd360 up",
    ]


@pytest.mark.parametrize(("arguments", "traces"), [(["probe"], 0), (["probe", "--verbose"], 1)])
def test_a_bug_ends_with_1_and_is_traced_in_full_when_asked(
    command: typer.Typer, capsys: pytest.CaptureFixture[str], arguments: list[str], traces: int
) -> None:
    @command.command()
    def fail() -> None:
        raise ZeroDivisionError("oops")

    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert "oops" in err
    assert err.count("Traceback") == traces


def test_an_interrupt_ends_with_130(command: typer.Typer) -> None:
    @command.command()
    def wait() -> None:
        raise KeyboardInterrupt

    assert cli.main(["probe"]) == 130


def test_an_exit_code_of_a_command_is_passed_on(command: typer.Typer) -> None:
    @command.command()
    def gate() -> None:
        raise typer.Exit(5)

    assert cli.main(["probe"]) == 5


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with what every Debian has and no Python."""
    for program in ("bash", "env", "readlink", "dirname", "awk", "sha256sum", "mkdir", "flock", "wc", "cat"):
        found = next(Path(folder) / program for folder in ("/usr/bin", "/bin") if (Path(folder) / program).exists())
        (tmp_path / program).symlink_to(found)
    return tmp_path


def run_front(path: Path, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": str(path), "RD360_HOME": str(home), "HOME": str(home)}
    return subprocess.run(
        [CHECKOUT / "rd360", "status"], env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def test_without_a_python_the_front_names_the_one_command_that_installs_it(bare_path: Path, tmp_path: Path) -> None:
    done = run_front(bare_path, tmp_path / "home")
    assert done.returncode == 3
    assert "Python 3.11 or 3.12 is not installed" in done.stderr
    assert "apt-get install -y python3 python3-venv openjdk-17-jre-headless" in done.stderr


def test_another_python_is_named_with_the_version_it_has(bare_path: Path, tmp_path: Path) -> None:
    old = bare_path / "python3"
    old.write_text('#!/bin/sh\ncase "$1" in -V) echo Python 3.9.2;; *) exit 1;; esac\n')
    old.chmod(0o755)
    done = run_front(bare_path, tmp_path / "home")
    assert done.returncode == 3
    assert "python3 is Python 3.9.2" in done.stderr


def test_a_python_without_venv_is_named_with_the_package_that_has_it(bare_path: Path, tmp_path: Path) -> None:
    bare = bare_path / "python3"
    bare.write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 0;; *) exit 1;; esac\n')
    bare.chmod(0o755)
    done = run_front(bare_path, tmp_path / "home")
    assert done.returncode == 3
    assert "apt-get install -y python3-venv" in done.stderr
