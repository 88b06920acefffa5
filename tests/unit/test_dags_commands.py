"""The DAGs call commands that exist, and nothing but commands."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
import typer.main

from contracts.settings import CHECKOUT, Settings
from infra.cli.__main__ import COMMANDS

DAGS = sorted(path for path in (CHECKOUT / "dags").glob("*.py"))
OURS = ("contracts", "featurestore", "streams", "lake", "training", "serving", "infra")
MOST_LINES = 40


def commands(path: Path) -> list[str]:
    """The command lines that a DAG file runs: the second argument of each `command(...)`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    ours = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "command"]
    return [str(ast.literal_eval(call.args[1])) for call in ours]


CALLED = [line for path in DAGS for line in commands(path)]


def test_the_daily_line_runs_in_the_order_that_each_step_needs() -> None:
    assert commands(CHECKOUT / "dags" / "daily.py") == [
        "lake run",
        "features materialize",
        "forecast score",
        "lake marts",
        "features parity",
    ]
    assert commands(CHECKOUT / "dags" / "maintain.py") == ["lake audit", "lake maintain"]
    assert commands(CHECKOUT / "dags" / "retrain.py") == ["train"]


@pytest.mark.parametrize("line", CALLED)
def test_a_dag_calls_a_command_that_exists(line: str) -> None:
    noun, *verbs = line.split()
    module, attribute = COMMANDS[noun][0].split(":")
    command = typer.main.get_command(getattr(importlib.import_module(module), attribute))
    for verb in verbs:
        assert verb in getattr(command, "commands", {}), f"rd360 {noun} has no {verb}"
        command = command.commands[verb]  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", DAGS, ids=lambda path: path.name)
def test_a_dag_is_short_and_holds_no_code_of_ours(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    imported = [
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert not set(imported) & set(OURS)
    assert path.stem not in OURS  # it would hide the package of that name from Airflow's tasks
    assert len(text.splitlines()) <= MOST_LINES


def test_the_schedules_zone_is_the_settings_default() -> None:
    assert f'"{Settings().time_zone}"' in (CHECKOUT / "dags" / "_commands.py").read_text(encoding="utf-8")
