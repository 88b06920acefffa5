"""The DAGs in Airflow: read without an error, triggered and followed through its API."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from contracts.errors import DataGateError, DependencyUnavailable, NotFoundError
from contracts.settings import CHECKOUT, Settings
from infra.airflow_api import Airflow, Run, Task

pytestmark = pytest.mark.stack

SCHEDULES = {"rd360_daily": "0 2 * * *", "rd360_maintain": "0 6 * * *", "rd360_retrain": "0 4 * * 0"}
# Runs in Airflow's environment: what its DAG processor makes of the folder
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
sys.path.insert(0, sys.argv[1])
bag = DagBag(sys.argv[1])
tasks = {dag.dag_id: {t.task_id: [t.bash_command, sorted(t.downstream_task_ids)] for t in dag.tasks} for dag in bag.dags.values()}
open(sys.argv[2], "w").write(json.dumps({"errors": bag.import_errors, "tasks": tasks}))
"""


@pytest.fixture(scope="module")
def folder(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """The tasks of each DAG: [shell script, what follows]."""
    home = tmp_path_factory.mktemp("airflow")
    python, out = settings.home / "venvs" / "airflow" / "bin" / "python", home / "dags.json"
    environment = {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python, "-B", "-c", READ, str(CHECKOUT / "dags"), str(out)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(out.read_text())
    assert read["errors"] == {}
    return read["tasks"]


def run_script(script: str, folder: Path, exit_codes: list[int]) -> tuple[int, str, int]:
    """Exit code, last line and number of calls of a task's script, when `rd360` ends with these codes, one call after another."""
    codes, calls = folder / "codes", folder / "calls"
    codes.write_text("\n".join(map(str, exit_codes)))
    command = folder / "rd 360"  # a checkout's path may hold a space
    command.write_text(f'#!/bin/sh\necho "$@" >> "{calls}"\nexit "$(sed -n "$(wc -l < "{calls}")p" "{codes}")"\n')
    command.chmod(0o755)
    quick = script.replace("sleep 30", "sleep 0")
    assert quick != script
    environment = {"RD360_CLI": str(command), "PATH": os.environ["PATH"]}
    done = subprocess.run(["bash", "-c", quick], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout.splitlines() or [""])[-1], len(calls.read_text().splitlines())


def test_the_daily_dag_is_one_chain(folder: dict[str, dict[str, list[str]]]) -> None:
    assert {task: after for task, (_, after) in folder["rd360_daily"].items()} == {
        "lake": ["materialize"],
        "materialize": ["score"],
        "score": ["marts"],
        "marts": ["parity"],
        "parity": [],
    }


@pytest.mark.parametrize(
    ("dag", "task", "exit_codes", "expected"),
    [
        ("rd360_daily", "parity", [0], (0, "done", 1)),
        ("rd360_daily", "parity", [5], (5, "", 1)),  # a gate that did not hold fails the run, and at once
        ("rd360_daily", "parity", [4, 4, 0], (0, "done", 3)),  # a server that was away is tried again
        ("rd360_daily", "parity", [4, 4, 4], (4, "", 3)),
        ("rd360_daily", "parity", [6], (6, "", 1)),
        ("rd360_retrain", "train", [6], (0, "kept", 1)),  # the champion stays: that is a result
        ("rd360_retrain", "train", [1], (1, "", 1)),
        ("rd360_maintain", "maintain", [0], (0, "done", 1)),
    ],
)
def test_a_task_ends_as_its_command_did(
    folder: dict[str, dict[str, list[str]]],
    tmp_path: Path,
    dag: str,
    task: str,
    exit_codes: list[int],
    expected: tuple[int, str, int],
) -> None:
    script, _ = folder[dag][task]
    assert run_script(script, tmp_path, exit_codes) == expected


def test_airflow_has_read_the_folder_and_waits_for_the_next_night(settings: Settings) -> None:
    airflow = Airflow(settings)
    end = time.monotonic() + 60
    while len(dags := {dag.dag_id: dag for dag in airflow.dags()}) < len(SCHEDULES):
        assert time.monotonic() < end, "Airflow did not read the folder within a minute"
        time.sleep(1)
    assert airflow.import_errors() == []
    assert {name: dag.schedule for name, dag in dags.items()} == SCHEDULES
    assert not any(dag.paused for dag in dags.values())
    assert all(dag.next_run and dag.next_run > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) for dag in dags.values())


def test_a_dag_that_is_not_there_is_named_with_those_that_are(settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="no DAG 'rd360_never'") as raised:
        Airflow(settings).trigger("rd360_never", patience=0)
    assert "rd360_daily" in raised.value.hint


def test_a_wrong_password_and_an_airflow_that_is_down_are_said(settings: Settings) -> None:
    with pytest.raises(DependencyUnavailable, match="Invalid credentials"):
        Airflow(settings.model_copy(update={"airflow_password": type(settings.airflow_password)("wrong")}))
    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1 "):
        Airflow(settings.model_copy(update={"airflow_url": "http://127.0.0.1:1"}))


def test_a_run_is_triggered_and_followed_to_its_end(settings: Settings) -> None:
    airflow = Airflow(settings)
    run = airflow.trigger("rd360_retrain")
    told: list[Task] = []
    state, said = follow(airflow, run, told)
    # What the tests' shared lake holds decides how it ends: a failure carries what the command said
    assert state == "success" or ("rd360_retrain failed at train" in said and "Command exited with return code" in said)
    assert [task.task_id for task in told] == ["train"]
    assert (airflow.latest("rd360_retrain").run_id, airflow.latest("rd360_retrain").state) == (run.run_id, state)


def follow(airflow: Airflow, run: Run, told: list[Task]) -> tuple[str, str]:
    """How a run ended, and what the error said."""
    try:
        return airflow.wait(run, 400, told.append).state, ""
    except DataGateError as error:
        return "failed", str(error)
