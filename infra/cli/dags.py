"""`rd360 dags list | trigger | status`: Airflow's DAGs, through its API."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.settings import load_settings
from infra.cli.console import json_result, note, table

if TYPE_CHECKING:
    from infra.airflow_api import Airflow, Run, Task

app = typer.Typer(no_args_is_help=True, help="Airflow's DAGs: list, trigger and follow them.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DagId = Annotated[str, typer.Argument(help="Such as rd360_daily.")]


@app.command("list")
def list_dags(as_json: Json = False) -> None:
    """List the DAGs that Airflow has read."""
    airflow = _airflow()
    dags = airflow.dags()
    for error in airflow.import_errors():
        note(f"Airflow cannot read {error}")
    if as_json:
        json_result([dataclasses.asdict(dag) for dag in dags])
    else:
        rows = [(d.dag_id, "paused" if d.paused else d.schedule, d.next_run or "", d.description) for d in dags]
        table(("dag", "schedule", "next run", ""), rows)


@app.command()
def trigger(
    dag_id: DagId,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it has ended; exits 5 when it fails.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait.")] = 1800.0,
    as_json: Json = False,
) -> None:
    """Run a DAG now."""
    airflow = _airflow()
    run = airflow.trigger(dag_id)
    if wait:
        note(f"{dag_id}: {airflow_address()}/dags/{dag_id}/runs/{run.run_id}")
        run = airflow.wait(run, timeout, _tell)
    _show(run, as_json)
    if not wait:
        note(f"Next: ./rd360 dags status {dag_id}")


@app.command()
def status(dag_id: DagId, as_json: Json = False) -> None:
    """Show the last run of a DAG and its tasks."""
    _show(_airflow().latest(dag_id), as_json)


def airflow_address() -> str:
    """Where Airflow's pages are."""
    return load_settings().airflow


def _airflow() -> Airflow:
    from infra.airflow_api import Airflow  # imported here: it loads an HTTP client, which --help does not need

    return Airflow(load_settings())


def _tell(task: Task) -> None:
    note(f"  {task.task_id}: {task.state} in {task.seconds or 0:.0f} s")


def _show(run: Run, as_json: bool) -> None:
    if as_json:
        json_result(dataclasses.asdict(run))
        return
    rows = [
        (task.task_id, task.state or "waiting", "" if task.seconds is None else f"{task.seconds:.1f} s") for task in run.tasks
    ]
    table(("task", "state", "seconds"), [*rows, (run.run_id, run.state, "" if run.seconds is None else f"{run.seconds:.1f} s")])
