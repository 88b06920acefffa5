"""The lake's kill drill: its jobs are killed again and again while events arrive, and servers go away under them.

At the end every table is held against a lake that was made of the same topics without a disturbance.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from lake.jobs import audit
from lake.session import open_session
from streams.declare import declare
from tests.drills import lake_twins
from tests.drills.arrival import lines_of
from tests.drills.lake_jobs import COMMANDS, JOBS, POLL_SECONDS, JobProcess, Locks
from tests.drills.lake_messages import shares
from tests.drills.replay import Replay, planned
from tests.lake_world import Message, World
from tests.outcome import Bar, Outcome
from tests.own_servers import Kafka, ObjectStore, Postgres, Server, own_place, running

FIRST_SPAN_SECONDS = 4.0  # how long a job is thought to work until more is known
LONGER = 1.5  # times what a killed job had worked: so long it may have had to work
START_SECONDS = 300.0  # a busy machine may take a minute to start Spark
ENDS_SECONDS = 600.0  # within so long after a server's return a job has ended, well or not
BETWEEN = "between"  # a kill while no job held its lock
ATTEMPTS = 4  # for each kill: jobs may be done before their moment has come
DEPENDENCY_EXIT = 4


@dataclass(frozen=True, slots=True)
class LakeKillPlan:
    """What to send, how many kills, of which jobs each at least once, and how long a server is away, s; 0: none goes.

    `whole`: all tables and the mart are compared; else those up to silver.
    """

    replay: Replay
    kills: int
    jobs: tuple[str, ...]
    away_seconds: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Servers:
    """The drill's own servers, and settings that name them."""

    settings: Settings
    stopped: dict[str, Server]  # those that it takes away


@dataclass(slots=True)
class Disturbed:
    """What happened: kills by the job at work, commands that ended before their kill, exit codes of those that lost a server."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    ended_before: int = 0
    outage_exits: dict[str, int | None] = field(default_factory=dict)
    met_by_outage: int = 0  # of these, whose silver was at work when its server went


def run(settings: Settings, plan: LakeKillPlan, say: Callable[[str], None]) -> Outcome:
    """What was found. Raises DependencyUnavailable where a server does not start, or a job fails that nothing disturbed."""
    sent = planned(settings, plan.replay)
    with own_servers(settings) as servers:
        own = servers.settings
        pieces = shares(own, sent, plan.kills + len(servers.stopped) + 2)
        folder = own.home / "drill"
        folder.mkdir()
        declare(own)
        started = time.monotonic()
        drill = _Drill(servers, pieces, random.Random(plan.replay.seed), folder, say)
        found = drill.disturb(plan)
        seconds = time.monotonic() - started
        say("The line once more, undisturbed, and a second lake of the same topics")
        session = open_session(own, "rd360 drill lake-kill")
        try:
            lake_twins.make(session, own, whole=plan.whole)
            audited = audit.run(session, own)
            twins = lake_twins.compared(session, own, folder, whole=plan.whole)
        finally:
            session.stop()
    exits = [f"{name} away: exit {code}" for name, code in found.outage_exits.items()]
    figures: dict[str, Any] = {
        "messages": sum(len(piece) for piece in pieces),
        "lines": sum(lines_of(one.event) for one in sent),
        "kills": found.kills.total(),
        "kills_at_work": found.kills.total() - found.kills[BETWEEN],
        **{f"kills_{job}": found.kills[job] for job in (*JOBS, BETWEEN)},
        "starts": found.starts,
        "ended_before_kill": found.ended_before,
        "servers_away": len(found.outage_exits),
        "servers_away_at_work": found.met_by_outage,
        "ended_badly": sum(code not in (0, DEPENDENCY_EXIT) for code in found.outage_exits.values()),
        **lake_twins.figures(audited, twins),
        "seconds": round(seconds, 1),
    }
    notes = [*exits, *lake_twins.notes(audited, twins)]
    return Outcome("drill lake-kill", figures, bars(plan, len(servers.stopped)), notes=notes)


def bars(plan: LakeKillPlan, servers: int) -> list[Bar]:
    """What must hold, where so many servers can go away."""
    return [
        Bar("kills_at_work", at_least=plan.kills),
        *(Bar(f"kills_{job}", at_least=1) for job in plan.jobs),
        *([Bar("servers_away_at_work", at_least=servers)] if plan.away_seconds else []),
        Bar("ended_badly", at_most=0),
        *lake_twins.AGREE,
    ]


@contextmanager
def own_servers(settings: Settings) -> Iterator[Servers]:
    """Kafka, PostgreSQL and an S3 store, running and empty; they and all they wrote are gone afterwards."""
    home = settings.home / "data" / "drills" / "lake"
    shutil.rmtree(home, ignore_errors=True)  # what an interrupted drill left
    place = own_place(settings, home)
    try:
        with running(Kafka(place)), running(Postgres(place)) as postgres, running(ObjectStore(place)) as store:
            yield Servers(place.settings, {"s3": store, "postgres": postgres})
    finally:
        shutil.rmtree(home)


class _Drill:
    """The disturbances, a share of the messages in each."""

    def __init__(
        self,
        servers: Servers,
        pieces: Sequence[list[Message]],
        rng: random.Random,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._servers, self._rng, self._folder, self._say = servers, rng, folder, say
        self._settings = servers.settings
        self._pieces = iter(pieces)
        self._spans = dict.fromkeys(JOBS, FIRST_SPAN_SECONDS)
        self._found = Disturbed()

    def disturb(self, plan: LakeKillPlan) -> Disturbed:
        """All kills, then the outages; every message is sent afterwards."""
        jobs = [plan.jobs[number % len(plan.jobs)] for number in range(plan.kills)]
        self._rng.shuffle(jobs)
        self._send()
        with Locks(self._settings) as locks:
            for number, job in enumerate(jobs):
                self._send()
                met = self._kill(job, locks)
                self._say(f"Kill {number + 1} of {plan.kills}, meant for {job}: {met}")
        if plan.away_seconds:
            for name, server in self._servers.stopped.items():
                self._say(f"The server {name} is away for {plan.away_seconds:.0f} s")
                self._found.outage_exits[name] = self._outage(server, plan.away_seconds)
        while self._send():
            pass
        return self._found

    def _send(self) -> bool:
        piece = next(self._pieces, None)
        if piece:
            World().send(self._settings, piece)
        return piece is not None

    def _start(self, command: tuple[str, ...]) -> JobProcess:
        self._found.starts += 1
        return JobProcess(self._settings, command, self._folder / f"{self._found.starts}-{command[-1]}.log")

    def _kill(self, job: str, locks: Locks) -> str:
        """Kills the job's command within the time that the job works. Which job was at work then."""
        for _ in range(ATTEMPTS):
            process = self._start(COMMANDS[job])
            try:
                at_work = self._until_at_work(process, job, locks)
                began = time.monotonic()
                moment = began + self._rng.uniform(0.0, self._spans[job])  # the moment is what is drilled
                while at_work and time.monotonic() < moment and process.ended() is None:
                    time.sleep(POLL_SECONDS)
                    if job not in locks.held():
                        break
                met, worked = locks.held(), time.monotonic() - began
            finally:
                killed = process.kill()
            if at_work:
                self._spans[job] = max(self._spans[job], worked * LONGER) if job in met else worked
            if killed:
                name = next(iter(met), BETWEEN)
                self._found.kills[name] += 1
                if name == job:
                    return name
            else:
                self._require_success(process)
                self._found.ended_before += 1
        return "missed it"

    def _until_at_work(self, process: JobProcess, job: str, locks: Locks) -> bool:
        """Waits until the job works, or the command has ended. Raises DependencyUnavailable where neither comes."""
        deadline = time.monotonic() + START_SECONDS
        while job not in locks.held():
            if process.ended() is not None:
                return False
            if time.monotonic() > deadline:
                raise DependencyUnavailable(f"{job} does not begin", doing="waiting for its kill", why=process.output())
            time.sleep(POLL_SECONDS)
        return True

    def _outage(self, server: Server, away: float) -> int | None:
        """The exit code of the line when a server goes away while silver is made; None where it does not end."""
        self._send()
        process = self._start(COMMANDS["silver"])
        try:
            with Locks(self._settings) as locks:
                at_work = self._until_at_work(process, "silver", locks)
            self._found.met_by_outage += at_work and process.ended() is None
            server.stop()
            time.sleep(away)  # the absence is what is drilled
            server.start()
            code = process.end_within(ENDS_SECONDS)
            if code not in (0, DEPENDENCY_EXIT):
                self._say(process.output())
            return code
        finally:
            process.kill()

    def _require_success(self, process: JobProcess) -> None:
        if process.ended() != 0:
            raise DependencyUnavailable(
                f"An undisturbed job ended with {process.ended()}", doing="drilling the lake", why=process.output()
            )
