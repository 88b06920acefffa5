"""The cluster drill: the lake's jobs on a Spark cluster of two workers, one of which is killed in the middle of silver.

Every table is held against a lake that a local session made of the same topics.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from infra.stack.place import Place
from lake import schemas
from lake.jobs import audit
from lake.session import open_session
from streams.declare import declare
from tests.drills import lake_twins
from tests.drills.arrival import lines_of
from tests.drills.lake_jobs import POLL_SECONDS, JobProcess, Locks
from tests.drills.lake_kill import own_servers
from tests.drills.lake_messages import shares
from tests.drills.replay import Replay, planned
from tests.drills.spark_cluster import EXECUTOR_MEMORY, HOST, WORKERS, Cluster, cluster
from tests.lake_catalog import commits, locations
from tests.lake_world import World
from tests.outcome import Bar, Outcome

LOCAL = "local[2]"
Command = tuple[str, ...]
LINE: Sequence[Command] = (("lake", "run"),)
TO_SILVER: Sequence[Command] = (("lake", "bronze", "--available-now"), ("lake", "silver"))  # what a quick drill has time for
AFTER: Sequence[Command] = (("lake", "marts"), ("lake", "audit"))
JOB_SECONDS = 900.0  # a busy machine is slow to start Spark, and a lost worker's tasks are run again
CHECK_SECONDS = 0.01  # between looks at the catalog: silver's commits follow one another within a second


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What to send, and in how many shares (a worker is killed while silver takes the last).

    `whole`: the whole line, marts and audit on the cluster, and all tables compared; else bronze and silver.
    """

    replay: Replay
    shares: int
    whole: bool


def run(settings: Settings, plan: ClusterPlan, say: Callable[[str], None]) -> Outcome:
    """What was found. Raises DependencyUnavailable where a server or the cluster does not start."""
    sent = planned(settings, plan.replay)
    with own_servers(settings) as servers:
        local = servers.settings.model_copy(update={"spark_master": LOCAL})
        folder = local.home / "drill"
        folder.mkdir()
        declare(local)
        pieces, world = shares(local, sent, plan.shares), World()
        with cluster(Place(local), folder / "cluster") as own:
            drill = _Drill(local, own, folder, say)
            for number, piece in enumerate(pieces, 1):
                world.send(local, piece)
                *before, last = LINE if plan.whole else TO_SILVER
                for command in before:
                    drill.run(command)
                (drill.run_and_kill if number == plan.shares else drill.run)(last)
            for command in AFTER if plan.whole else ():
                drill.run(command)
            executors = len(own.executors())
        say("A second lake of the same topics, by a local session")
        session = open_session(local, "rd360 drill cluster")
        try:
            audited = audit.run(session, local)
            twins = lake_twins.compared(session, local, folder, whole=plan.whole)
        finally:
            session.stop()
    figures: dict[str, Any] = {
        "messages": sum(len(piece) for piece in pieces),
        "lines": sum(lines_of(one.event) for one in sent),
        "workers": WORKERS,
        "executors": executors,
        "workers_killed_in_silver": drill.killed_in_silver,
        "ended_badly": drill.ended_badly,
        **lake_twins.figures(audited, twins),
        "cluster_seconds": round(drill.seconds, 1),
    }
    return Outcome("drill cluster", figures, _BARS, notes=lake_twins.notes(audited, twins))


_BARS: Sequence[Bar] = (
    Bar("executors", at_least=WORKERS),
    Bar("workers_killed_in_silver", at_least=1),
    Bar("ended_badly", at_most=0),
    *lake_twins.AGREE,
)


class _Drill:
    """The jobs as commands on the cluster, and how they ended."""

    def __init__(self, settings: Settings, on: Cluster, folder: Path, say: Callable[[str], None]) -> None:
        self._cluster, self._folder, self._say = on, folder, say
        self._settings = settings.model_copy(update={"spark_master": on.master, "spark_executor_memory": EXECUTOR_MEMORY})
        self.killed_in_silver = self.ended_badly = 0
        self.seconds = 0.0

    def run(self, command: Command) -> None:
        """One command, undisturbed."""
        began = time.monotonic()
        self._end(self._start(command), command, began)

    def run_and_kill(self, command: Command) -> None:
        """One command, and SIGKILL to one worker and its executor once silver has written one of its tables and not all."""
        began = time.monotonic()
        process = self._start(command)
        try:
            self._until_in_silver(process)
            self._cluster.workers[0].kill()
            self.killed_in_silver += self._silver_commits()[schemas.SILVER_PROGRESS] == self._before[schemas.SILVER_PROGRESS]
            self._say("A worker is killed in the middle of silver")
            self._end(process, command, began)
        finally:
            process.kill()

    def _start(self, command: Command) -> JobProcess:
        return JobProcess(self._settings, command, self._folder / "command.log", SPARK_LOCAL_IP=HOST)

    def _end(self, process: JobProcess, command: Command, began: float) -> None:
        code = process.end_within(JOB_SECONDS)
        process.kill()
        seconds = time.monotonic() - began
        self.seconds += seconds
        self._say(f"{' '.join(command)} on the cluster: exit {code}, {seconds:.0f} s")
        if code != 0:
            self.ended_badly += 1
            self._say(process.output())

    def _until_in_silver(self, process: JobProcess) -> None:
        """Waits until silver has its lock, and then for its first commit. Raises DependencyUnavailable where none comes."""
        deadline = time.monotonic() + JOB_SECONDS
        with Locks(self._settings) as locks:
            while "silver" not in locks.held():
                self._require_running(process, deadline)
                time.sleep(POLL_SECONDS)
        self._before = self._silver_commits()
        while not any(self._silver_commits()[table.name] > self._before[table.name] for table in schemas.SILVER):
            self._require_running(process, deadline)
            time.sleep(CHECK_SECONDS)

    def _silver_commits(self) -> dict[str, int]:
        found = locations(self._settings)
        return {name: commits(found, name) for name in (schemas.SILVER_PROGRESS, *(table.name for table in schemas.SILVER))}

    def _require_running(self, process: JobProcess, deadline: float) -> None:
        if process.ended() is not None or time.monotonic() > deadline:
            raise DependencyUnavailable("Silver was not met at its work", doing="waiting for its kill", why=process.output())
