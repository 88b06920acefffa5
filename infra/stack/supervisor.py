"""The local stack from outside: bring it up, say how it is, take it down.

The services belong to a detached process (`daemon.py`); the functions here prepare what it needs, tell it what should run, and
watch what it says.
"""

from __future__ import annotations

import contextlib
import fcntl
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from contracts.clock import system_clock
from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import Settings, load_settings
from infra.stack import requirements
from infra.stack import state as states
from infra.stack.daemon import log_tail, stop_all
from infra.stack.place import Place, settings_environment
from infra.stack.ports import check_free, holder, is_taken
from infra.stack.processes import Identity, end, marked, memory_bytes, tree
from infra.stack.secrets import ensure_secrets
from infra.stack.services import Service, closure, services
from infra.stack.state import BROKEN, Phase, ServiceState

SUPERVISOR_SECONDS = 20.0
WATCH_SECONDS = 0.1
LAYOUT_FIELDS = (
    *(
        "port_offset",
        "object_store",
        "kafka_bootstrap",
        "redis_address",
        "postgres_address",
        "s3_endpoint",
        "mlflow_url",
        "airflow_url",
    ),
    *("superset_url", "api_url", "postgres_user", "s3_region", "lake_bucket", "mlflow_bucket", "topic_prefix"),
)
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """One service as `status` shows it. Memory is that of its whole process tree in bytes, shared pages counted once."""

    name: str
    summary: str
    state: Phase | Literal["external", "unreachable", "not started"]
    url: str
    external: bool
    pids: tuple[int, ...]
    ports: tuple[int, ...]
    uptime_seconds: float | None
    memory_bytes: int
    restarts: int
    why: str
    log_tail: tuple[str, ...]

    @property
    def healthy(self) -> bool:
        """Whether it serves now."""
        return self.state in ("ready", "external")


def up(settings: Settings, only: Iterable[str] | None = None, progress: Progress = lambda _: None) -> list[Report]:
    """Starts what is missing and waits until all of it is ready; returns one report for each service that was asked for.

    `only` names services; what they need comes with them. Raises ConfigurationError for a machine that is not as it must be (a
    taken port, no Java), DependencyUnavailable with a service's last log lines when it does not start.
    """
    place = Place(settings)
    known = services(settings)
    wanted = closure(known if only is None else only, known)
    local = [known[name] for name in wanted if not known[name].is_external(settings)]
    with _one_at_a_time(place, progress):
        if ensure_secrets(place.home):
            progress(f"Made secrets in {place.home / 'secrets.json'}")
        place = Place(_with_secrets(settings))
        _check_same_settings(place)
        check_free(claim for service in local if not _lives(place, service) for claim in service.claims(settings))
        requirements.ensure(place, {need for name in wanted for need in known[name].installs(settings)}, progress)
        desired = states.read_desired(place.run).plus([service.name for service in local])
        states.write_settings(place.run, settings_environment(settings))
        states.write_desired(place.run, desired)
        if local:
            _ensure_supervisor(place)
            _wait_until_ready(place, local, desired.generation, progress)
        for name in wanted:
            if known[name].is_external(settings):
                _check_external(place, known[name], progress)
    reports = [report for report in status(place.settings) if report.name in wanted]
    for report in reports:
        if not report.healthy:
            raise DependencyUnavailable(
                f"{report.name} runs and does not answer",
                doing="checking after `up`",
                why=report.why,
                hint=f"./rd360 logs {report.name}",
            )
    return reports


def status(settings: Settings) -> list[Report]:
    """One report for each service, in starting order. Each that should answer is asked now."""
    place = Place(_with_secrets(settings))
    known = services(settings)
    state = states.read_state(place.run)
    with ThreadPoolExecutor(max_workers=len(known)) as pool:
        return list(pool.map(lambda service: _report(place, service, state.get(service.name)), known.values()))


def down(settings: Settings, progress: Progress = lambda _: None) -> int:
    """Stops everything of this home and returns how many processes had to be killed.

    Works without the supervisor too. Raises ConfigurationError when a process or a port of ours is still there afterwards.
    """
    with _one_at_a_time(Place(settings), progress):
        place = Place(_as_started(settings))
        settings = place.settings
        supervisor = states.read_supervisor(place.run)
        known = services(settings)
        started = {name: entry for name, entry in states.read_state(place.run).items() if name in known}
        killed: set[Identity] = set()
        if supervisor is not None:
            killed |= _stop_supervisor(place, supervisor, started, progress)
        # nothing is left to do here unless the supervisor was killed
        killed |= stop_all(place, lambda name, phase, why: progress(_line(name, phase, why)) if supervisor is None else None)
        killed |= end(marked(place.home), [], with_signal=signal.SIGTERM, grace=5.0, leaders_only=False)
        _check_gone(place, [known[name] for name in started])
        states.clear(place.run)
    return len(killed)


def _report(place: Place, service: Service, entry: ServiceState | None) -> Report:
    external = service.is_external(place.settings)
    identities = list(entry.processes.values()) if entry else []
    why, phase = (entry.why, entry.phase) if entry else ("", None)
    shown: Phase | Literal["external", "unreachable", "not started"] = phase or "not started"
    if external:
        why = service.ready(place.settings) or ""
        shown = "unreachable" if why else "external"
    elif phase == "ready":
        problem = service.ready(place.settings) if all(i.alive() for i in identities) else f"a process of {service.name} is gone"
        shown, why = ("unreachable", problem) if problem else ("ready", "")
    return Report(
        name=service.name,
        summary=service.summary,
        state=shown,
        url=service.url(place.settings),
        external=external,
        pids=tuple(i.pid for i in identities if i.alive()),
        ports=tuple(claim.port for claim in service.claims(place.settings)) if not external else (),
        uptime_seconds=system_clock() / 1000 - entry.since if entry and shown == "ready" else None,
        memory_bytes=memory_bytes(tree(identities)),
        restarts=entry.restarts if entry else 0,
        why=why,
        log_tail=entry.log_tail if entry else (),
    )


def _with_secrets(settings: Settings) -> Settings:
    """The same settings with the secrets that are in the home folder now."""
    return load_settings(**settings.model_dump(exclude_defaults=True, exclude_none=True))


def _as_started(settings: Settings) -> Settings:
    """The settings that the running stack was started with: its ports are theirs."""
    variables = states.read_settings(Place(settings).run)
    return (
        load_settings(**{key.removeprefix("RD360_").lower(): value for key, value in variables.items()})
        if variables
        else settings
    )


def _check_same_settings(place: Place) -> None:
    """Raises ConfigurationError when the stack runs already with other ports, stores or addresses than these settings ask for."""
    running = states.read_settings(place.run)
    if not running or not any(entry.processes for entry in states.read_state(place.run).values()):
        return
    wanted = settings_environment(place.settings)
    for field in LAYOUT_FIELDS:
        variable = f"RD360_{field.upper()}"
        if running.get(variable) != wanted.get(variable):
            raise ConfigurationError(
                "The stack runs with other settings",
                doing="preparing to start more of it",
                why=f"it was started with {variable}={running.get(variable, '')!r}, now it is {wanted.get(variable, '')!r}",
                hint="Run `./rd360 down` first, or set the variable as it was.",
            )


def _lives(place: Place, service: Service) -> bool:
    entry = states.read_state(place.run).get(service.name)
    return entry is not None and bool(entry.processes) and any(i.alive() for i in entry.processes.values())


def _ensure_supervisor(place: Place) -> None:
    if states.read_supervisor(place.run) is not None:
        return
    log = place.log("supervisor")
    log.parent.mkdir(parents=True, exist_ok=True)
    env = place.environment("supervisor", ours=True)
    del env["RD360_SERVICE"]  # it is no service: `down` ends it first and by its own name
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "infra.stack.daemon"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=place.checkout,
            start_new_session=True,
        )
    deadline = time.monotonic() + SUPERVISOR_SECONDS
    while states.read_supervisor(place.run) is None:
        if child.poll() is not None or time.monotonic() > deadline:
            raise DependencyUnavailable(
                "The supervisor did not start",
                doing="starting the local stack",
                why="; ".join(log_tail(log, 5)),
                hint=f"See {log}.",
            )
        time.sleep(WATCH_SECONDS)


def _wait_until_ready(place: Place, wanted: list[Service], generation: int, progress: Progress) -> None:
    told: dict[str, str] = {}
    while True:
        state = states.read_state(place.run)
        current = {service.name: state.get(service.name) for service in wanted}
        for name, entry in current.items():
            if entry is not None and told.get(name) != entry.phase:
                told[name] = entry.phase
                progress(f"{name}: {entry.phase}")
        broken = [(name, entry) for name, entry in current.items() if entry and _is_lost(entry, generation)]
        if broken:
            raise _did_not_start(broken)
        if all(entry is not None and entry.phase == "ready" for entry in current.values()):
            return
        if states.read_supervisor(place.run) is None:
            tail = "; ".join(log_tail(place.log("supervisor"), 5))
            raise DependencyUnavailable(
                "The supervisor ended", doing="starting the local stack", why=tail, hint=f"See {place.log('supervisor')}."
            )
        time.sleep(WATCH_SECONDS)


def _is_lost(entry: ServiceState, generation: int) -> bool:
    """Whether it failed in this try; one that is started again and again counts after its third end."""
    return (entry.phase in BROKEN and entry.generation >= generation) or (entry.phase == "restarting" and entry.restarts >= 3)


def _did_not_start(broken: list[tuple[str, ServiceState]]) -> DependencyUnavailable:
    # the one whose own start failed, not one that waits for it
    name, entry = min(broken, key=lambda item: "it needs" in item[1].why)
    tail = "".join(f"\n    {line}" for line in entry.log_tail)
    return DependencyUnavailable(
        f"{name} is not up",
        doing="starting the local stack",
        why=entry.why + (f"; its last lines were:{tail}" if tail else ""),
        hint=f"./rd360 logs {name}",
    )


def _check_external(place: Place, service: Service, progress: Progress) -> None:
    problem = service.ready(place.settings)
    if problem:
        raise DependencyUnavailable(
            f"{service.name} does not answer",
            doing=f"asking {service.url(place.settings)}, which the settings name",
            why=problem,
            hint=f"Check RD360_{(service.external or '').upper()}.",
        )
    progress(f"{service.name}: external")


def _stop_supervisor(place: Place, supervisor: Identity, started: dict[str, ServiceState], progress: Progress) -> set[Identity]:
    known = services(place.settings)
    process = supervisor.process()
    if process is not None:
        process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 20.0 + sum(known[name].stop.grace for name in started)
    told: dict[str, str] = {}
    while supervisor.alive() and time.monotonic() < deadline:
        for name, entry in states.read_state(place.run).items():
            if entry.phase in ("stopping", "stopped") and told.get(name) != entry.phase:
                told[name] = entry.phase
                progress(_line(name, entry.phase, entry.why))
        time.sleep(WATCH_SECONDS)
    return end([supervisor], [], with_signal=signal.SIGKILL, grace=5.0, leaders_only=False)


def _line(name: str, phase: Phase, why: str) -> str:
    return f"{name}: {phase}{f' ({why})' if why else ''}"


def _check_gone(place: Place, stopped: list[Service]) -> None:
    left = [f"process {i.pid}" for i in marked(place.home)]
    left += [
        f"port {claim.port} ({claim.service} {claim.what}), held by {holder(claim.port)}"
        for service in stopped
        for claim in service.claims(place.settings)
        if is_taken(claim.port)
    ]
    if left:
        raise ConfigurationError(
            "Something of the stack is left", doing="checking after `down`", why="; ".join(left), hint="Run `./rd360 down` again."
        )


@contextlib.contextmanager
def _one_at_a_time(place: Place, progress: Progress) -> Iterator[None]:
    """Lets one `up` or `down` of a home work at a time; the next one waits."""
    place.run.mkdir(parents=True, exist_ok=True)
    with (place.run / "control.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another `up` or `down` of this home is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
