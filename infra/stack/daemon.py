"""The supervisor process: one for each home, detached, parent of every service. `python -m infra.stack.daemon` with RD360_* set.

It follows run/desired.json, keeps run/state.json, and ends on SIGTERM after it has stopped what it started.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from contracts.clock import system_clock
from contracts.errors import RetailDemandError
from contracts.settings import load_settings
from infra.stack import state as states
from infra.stack.place import Place
from infra.stack.processes import Identity, end, identify, marked, tree
from infra.stack.services import Service, closure, services, stopping_waves
from infra.stack.state import BROKEN, Phase, ServiceState

POLL_SECONDS = 0.2
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 30.0
STEADY_SECONDS = 60.0  # a service that ran this long starts its backoff anew
TAIL_LINES = 12
LOG_BYTES = 50 * 1024 * 1024  # a larger log is moved aside at the next start


class Board:
    """The state of all services, shared by their keepers; every change is on disk before the next step."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._state = states.read_state(run)

    def get(self, name: str) -> ServiceState | None:
        """The state of a service, or None when it was never started."""
        with self._lock:
            return self._state.get(name)

    def put(self, name: str, entry: ServiceState) -> None:
        """Replaces the state of a service."""
        with self._lock:
            self._state[name] = entry
            states.write_state(self._run, self._state)


class Keeper(threading.Thread):
    """Starts one service, waits until it is ready, watches it, and says on the board what happened."""

    def __init__(self, service: Service, place: Place, board: Board, generation: int, stopping: threading.Event) -> None:
        super().__init__(name=service.name, daemon=True)
        self._service = service
        self._place = place
        self._board = board
        self.generation = generation  # of the last `up` that it answers
        self._stopping = stopping
        self._children: list[subprocess.Popen[bytes]] = []

    def run(self) -> None:
        """The life of the service, until it ends for good or the stack stops."""
        try:
            self._keep()
        except BaseException as error:
            # without this word `up` would wait for ever; the trace goes to the supervisor's log
            self._say("failed", why=f"did not start: {error!r} in the supervisor")
            raise

    def _keep(self) -> None:
        backoff, restarts = BACKOFF_FIRST, 0
        while not self._stopping.is_set():
            began = time.monotonic()
            problem = self._live(restarts)
            if self._stopping.is_set():
                return
            phase: Phase = "failed" if problem.startswith("did not start") else "died"
            self._end_leftovers()
            if not self._service.restarts:
                self._say(phase, why=problem, restarts=restarts)
                return
            backoff = BACKOFF_FIRST if time.monotonic() - began > STEADY_SECONDS else min(backoff * 2, BACKOFF_MOST)
            restarts += 1
            self._say("restarting", why=f"{problem}; next try in {backoff:.0f} s", restarts=restarts)
            self._stopping.wait(backoff)

    def _live(self, restarts: int) -> str:
        """Runs the service once; returns why that ended."""
        try:
            blocked = self._wait_for_needs(restarts)
            if blocked:
                return f"did not start: {blocked}"
            processes = self._adopt() or self._start(restarts)
            late = self._wait_until_ready(processes, restarts)
            if late:
                return f"did not start: {late}"
            for step in self._service.after:
                step(self._place)
        except (RetailDemandError, OSError) as error:
            return f"did not start: {error}"
        self._say("ready", processes=processes, restarts=restarts)
        return self._watch(processes)

    def _wait_for_needs(self, restarts: int) -> str:
        known = services(self._place.settings)
        needs = [name for name in self._service.needs if not known[name].is_external(self._place.settings)]
        if needs:
            self._say("waiting", why=f"for {', '.join(needs)}", restarts=restarts)
        while not self._stopping.is_set():
            found = {name: self._board.get(name) for name in needs}
            broken = [
                name for name, entry in found.items() if entry and entry.phase in BROKEN and entry.generation >= self.generation
            ]
            if broken:
                return f"it needs {', '.join(broken)}"
            if all(entry and entry.phase == "ready" for entry in found.values()):
                return ""
            self._stopping.wait(POLL_SECONDS)
        return "the stack stops"

    def _adopt(self) -> dict[str, Identity] | None:
        """The processes of an earlier supervisor that was killed, when all of them still run."""
        before = self._board.get(self._service.name)
        found = before.processes if before else {}
        return found if found.keys() == self._service.commands.keys() and all(i.alive() for i in found.values()) else None

    def _start(self, restarts: int) -> dict[str, Identity]:
        self._say("preparing", restarts=restarts)
        self._end_leftovers()
        for step in self._service.before:
            step(self._place)
        processes: dict[str, Identity] = {}
        for name, command in self._service.commands.items():
            child = spawn(self._service, command(self._place), self._place)
            self._children.append(child)
            identity = identify(child.pid)
            if identity is not None:
                processes[name] = identity
            self._say("starting", processes=processes, restarts=restarts)
        return processes

    def _wait_until_ready(self, processes: dict[str, Identity], restarts: int) -> str:
        deadline = time.monotonic() + self._service.start_seconds
        why: str | None = "it was not asked yet"
        while not self._stopping.is_set():
            ended = self._ended(processes)
            if ended:
                return ended
            why = self._service.ready(self._place.settings)
            if why is None:
                return ""
            if time.monotonic() > deadline:
                return f"not ready after {self._service.start_seconds:.0f} s ({why})"
            self._say("starting", processes=processes, why=why, restarts=restarts)
            self._stopping.wait(POLL_SECONDS)
        return "the stack stops"

    def _watch(self, processes: dict[str, Identity]) -> str:
        while not self._stopping.is_set():
            ended = self._ended(processes)
            if ended:
                return ended
            self._stopping.wait(POLL_SECONDS)
        return ""

    def _ended(self, processes: dict[str, Identity]) -> str:
        codes = {child.pid: child.poll() for child in self._children}  # asking also buries the dead
        for name in self._service.commands:
            identity = processes.get(name)
            if identity is None or not identity.alive():
                code = codes.get(identity.pid) if identity else None
                return f"{name} ended" + ("" if code is None else f" with {_exit_text(code)}")
        return ""

    def _end_leftovers(self) -> None:
        stop(self._service, self._place, self._board.get(self._service.name))
        for child in self._children:
            child.poll()
        self._children.clear()

    def _say(self, phase: Phase, *, processes: dict[str, Identity] | None = None, why: str = "", restarts: int = 0) -> None:
        before = self._board.get(self._service.name)
        same = before is not None and before.phase == phase and before.why == why and before.processes == (processes or {})
        if same and before is not None and before.generation == self.generation:
            return
        since = before.since if before and before.phase == phase else system_clock() / 1000
        tail = log_tail(self._place.log(self._service.name), TAIL_LINES) if phase in (*BROKEN, "restarting") else ()
        self._board.put(
            self._service.name, ServiceState(phase, since, dict(processes or {}), why, tuple(tail), restarts, self.generation)
        )


def spawn(service: Service, command: list[str], place: Place) -> subprocess.Popen[bytes]:
    """Starts one process of a service in a session of its own, its output in the service's log."""
    path = place.log(service.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    env = place.environment(service.name, ours=service.ours) | dict(service.environment(place))
    with path.open("ab") as log:
        log.write(f"--- rd360 starts {Path(command[0]).name}\n".encode())
        log.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=place.checkout if service.ours else place.run,
            start_new_session=True,
        )


def stop(service: Service, place: Place, entry: ServiceState | None) -> set[Identity]:
    """Ends everything of one service; returns the processes that had to be killed."""
    leaders = {i for i in (entry.processes.values() if entry else ()) if i.alive()}
    everyone = tree(leaders) | marked(place.home, service.name)
    policy = service.stop
    # without its leaders there is nobody to tell the rest, so they are told themselves
    leaders_only = policy.leader_only and bool(leaders)
    killed = end(everyone, leaders, with_signal=policy.signal, grace=policy.grace, leaders_only=leaders_only)
    for path in service.leftovers(place.settings):
        path.unlink(missing_ok=True)
    return killed


def stop_all(place: Place, changed: Callable[[str, Phase, str], None]) -> set[Identity]:
    """Ends everything of the stack, dependants first, telling each change; returns the processes that had to be killed."""
    known = services(place.settings)
    state = states.read_state(place.run)
    killed: set[Identity] = set()

    def end_one(name: str) -> None:
        changed(name, "stopping", "")
        stubborn = stop(known[name], place, state.get(name))
        killed.update(stubborn)
        changed(name, "stopped", f"{len(stubborn)} processes had to be killed" if stubborn else "")

    for wave in stopping_waves(state, known):
        threads = [threading.Thread(target=end_one, args=(name,)) for name in wave]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return killed


def log_tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log, without reading a large one whole."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 400 * lines - 4096))
        return file.read().decode(errors="replace").splitlines()[-lines:]


def serve(place: Place) -> None:
    """Runs until SIGTERM. Raises nothing when another supervisor of this home lives: it ends at once."""
    place.run.mkdir(parents=True, exist_ok=True)
    lock = (place.run / "supervisor.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    me = identify(os.getpid())
    if me is None:  # this process exists, or it would not ask
        raise AssertionError("a running process has no identity")
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, lambda *_: stopping.set())
    states.write_supervisor(place.run, me)
    _follow(place, Board(place.run), stopping)


def _follow(place: Place, board: Board, stopping: threading.Event) -> None:
    known = services(place.settings)
    keepers: dict[str, Keeper] = {}
    while not stopping.is_set():
        desired = states.read_desired(place.run)
        for name in closure([n for n in desired.names if n in known], known):
            keeper = keepers.get(name)
            if known[name].is_external(place.settings):
                continue
            if keeper is not None and keeper.is_alive():
                keeper.generation = desired.generation  # it runs, so this `up` has what it asks for
            elif keeper is None or keeper.generation < desired.generation:
                keepers[name] = Keeper(known[name], place, board, desired.generation, stopping)
                keepers[name].start()
        stopping.wait(POLL_SECONDS)
    for keeper in keepers.values():
        keeper.join(timeout=10)

    def changed(name: str, phase: Phase, why: str) -> None:
        entry = board.get(name)
        if entry is not None:
            board.put(name, replace(entry, phase=phase, since=system_clock() / 1000, why=why))

    stop_all(place, changed)


def _exit_text(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    serve(Place(load_settings()))
    sys.exit(0)
