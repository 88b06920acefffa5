"""Airflow's REST API (v2), as far as this project asks it: list, trigger, follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from contracts.errors import DataGateError, DependencyUnavailable, NotFoundError
from contracts.settings import Settings

USER = "admin"  # the one user of the local stack's SimpleAuthManager
REQUEST_SECONDS = 20
POLL_SECONDS = 2.0
FINAL = ("success", "failed")
LOG_LINES = 20


@dataclass(frozen=True, slots=True)
class Dag:
    """One DAG. `next_run` is an ISO instant, None without a schedule."""

    dag_id: str
    description: str
    schedule: str
    paused: bool
    next_run: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """One task of one run; seconds are None until it has ended."""

    task_id: str
    state: str | None
    seconds: float | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a DAG: queued, running, success or failed."""

    dag_id: str
    run_id: str
    state: str
    seconds: float | None
    tasks: tuple[Task, ...]


class Airflow:
    """A client that has logged in. Raises DependencyUnavailable when Airflow does not answer or refuses the password."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.airflow
        self._session = requests.Session()
        login = {"username": USER, "password": settings.secret("airflow_password")}
        token = self._call("POST", "/auth/token", "logging in to Airflow", json=login)["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def dags(self) -> list[Dag]:
        """Every DAG that Airflow has read, by name."""
        found = self._call("GET", "/api/v2/dags?limit=100&order_by=dag_id", "listing the DAGs")["dags"]
        return [_dag(dag) for dag in found]

    def import_errors(self) -> list[str]:
        """The files that Airflow could not read, each with the last line of why."""
        found = self._call("GET", "/api/v2/importErrors", "asking for import errors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in found]

    def trigger(self, dag_id: str, patience: float = 60.0) -> Run:
        """A new run, queued. Unpauses the DAG, without which nothing would run it. Raises NotFoundError.

        A freshly started Airflow has not read its DAGs yet: it gets `patience` seconds for it.
        """
        end = time.monotonic() + patience
        while not any(dag.dag_id == dag_id for dag in self.dags()):
            if time.monotonic() > end:
                raise self._unknown(dag_id)
            time.sleep(POLL_SECONDS)
        doing = f"triggering {dag_id}"
        self._call("PATCH", f"/api/v2/dags/{dag_id}?update_mask=is_paused", doing, json={"is_paused": False})
        run = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", doing, json={"logical_date": None})
        return _run(run, [])

    def latest(self, dag_id: str) -> Run:
        """The DAG's last run. Raises NotFoundError for a DAG that is not there or never ran."""
        runs = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns?order_by=-run_after&limit=1", f"looking at {dag_id}")["dag_runs"]
        if not runs:
            raise NotFoundError(f"{dag_id} never ran", doing="looking for its last run", hint=f"./rd360 dags trigger {dag_id}")
        return self.run(dag_id, runs[0]["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> Run:
        """A run and its tasks as they are now."""
        path, doing = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", f"following {dag_id}"
        return _run(self._call("GET", path, doing), self._call("GET", f"{path}/taskInstances", doing)["task_instances"])

    def wait(self, run: Run, timeout: float, told: Callable[[Task], None]) -> Run:
        """The run once it has succeeded; `told` hears of each task that ends.

        Raises DataGateError with the failed task's last log lines, DependencyUnavailable after `timeout` seconds.
        """
        end = time.monotonic() + timeout
        known: set[str] = set()
        while True:
            run = self.run(run.dag_id, run.run_id)
            for task in run.tasks:
                if task.seconds is not None and task.state != "running" and task.task_id not in known:
                    known.add(task.task_id)
                    told(task)
            if run.state in FINAL:
                return self._succeeded(run)
            if time.monotonic() > end:
                raise DependencyUnavailable(
                    f"{run.dag_id} is still {run.state} after {timeout:.0f} s",
                    doing=f"waiting for the run {run.run_id}",
                    hint=f"It goes on: `./rd360 dags status {run.dag_id}`.",
                )
            time.sleep(POLL_SECONDS)

    def log(self, run: Run, task: Task, lines: int = LOG_LINES) -> list[str]:
        """The last lines that a task wrote."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task.task_id}/logs/{task.attempt}"
        content = self._call("GET", path, f"reading the log of {task.task_id}")["content"]
        events = [str(line["event"]) for line in content if isinstance(line, dict)]
        begun = max((at for at, event in enumerate(events) if event == "Output:"), default=-1)  # before it, Airflow speaks
        return events[begun + 1 :][-lines:]

    def _succeeded(self, run: Run) -> Run:
        failed = next((task for task in run.tasks if task.state == "failed"), None)
        if run.state == "success":
            return run
        log = "\n".join(self.log(run, failed)) if failed else "no task ran"
        raise DataGateError(
            f"{run.dag_id} failed" + (f" at {failed.task_id}" if failed else ""),
            doing=f"waiting for the run {run.run_id}",
            why=f"its log ends with\n{log}",
            hint=f"All of it is at {self._address}/dags/{run.dag_id}/runs/{run.run_id}.",
        )

    def _unknown(self, dag_id: str) -> NotFoundError:
        errors = self.import_errors()
        return NotFoundError(
            f"Airflow has no DAG {dag_id!r}",
            doing="looking for it",
            why="; ".join(errors) or "the dags folder has no file that defines it",
            hint=f"It has: {', '.join(dag.dag_id for dag in self.dags()) or 'none'}.",
        )

    def _call(self, method: str, path: str, doing: str, json: Any = None) -> Any:
        try:
            answer = self._session.request(method, self._address + path, json=json, timeout=REQUEST_SECONDS)
        except requests.RequestException as error:
            raise self._unavailable(doing, str(error)) from error
        if answer.status_code == 404:
            raise NotFoundError(str(answer.json().get("detail", "not found")), doing=doing, hint="See `./rd360 dags list`.")
        if not answer.ok:
            raise self._unavailable(doing, f"HTTP {answer.status_code}: {answer.text[:300]}")
        return answer.json()

    def _unavailable(self, doing: str, why: str) -> DependencyUnavailable:
        return DependencyUnavailable(
            f"Airflow at {self._address} did not do what was asked",
            doing=doing,
            why=why,
            hint="Run `./rd360 status`, then `./rd360 up --only airflow`.",
        )


def _dag(dag: dict[str, Any]) -> Dag:
    return Dag(
        dag_id=dag["dag_id"],
        description=dag["description"] or "",
        schedule=dag["timetable_summary"] or "",
        paused=dag["is_paused"],
        next_run=dag["next_dagrun_run_after"],
    )


def _run(run: dict[str, Any], tasks: list[dict[str, Any]]) -> Run:
    ordered = sorted(tasks, key=lambda task: task["start_date"] or "9999")  # a task that has not started yet comes last
    return Run(
        dag_id=run["dag_id"],
        run_id=run["dag_run_id"],
        state=run["state"],
        seconds=run["duration"],
        tasks=tuple(Task(task["task_id"], task["state"], task["duration"], task["try_number"]) for task in ordered),
    )
