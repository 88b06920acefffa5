"""A keeper's account of one service: what it says when the service is ready, when it dies, and when it cannot start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from infra.stack import daemon, state
from infra.stack.daemon import Board, Keeper
from infra.stack.place import Place
from infra.stack.services import SERVICES, Service
from infra.stack.state import ServiceState

DEADLINE = 20.0


def a_service(code: str, ready: Callable[[Settings], str | None] = lambda _: None) -> Service:
    return Service(
        name="valkey",  # a keeper looks its needs up among the real services; this one has none
        summary="",
        ports={},
        commands={"it": lambda _: [sys.executable, "-c", code]},
        ready=ready,
        url=lambda _: "",
        start_seconds=5.0,
    )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "run").mkdir()
    return Place(Settings(home=tmp_path))


@pytest.fixture
def keep(place: Place) -> Iterator[Callable[[Service], Callable[[str], ServiceState]]]:
    """Starts a keeper, and gives a function that waits until the board says a phase."""
    stopping = threading.Event()
    keepers: list[tuple[Keeper, Service]] = []

    def start(service: Service) -> Callable[[str], ServiceState]:
        keeper = Keeper(service, place, Board(place.run), 1, stopping)
        keepers.append((keeper, service))
        keeper.start()

        def wait_for(phase: str) -> ServiceState:
            deadline = time.monotonic() + DEADLINE
            while time.monotonic() < deadline:
                entry = state.read_state(place.run).get(service.name)
                if entry is not None and entry.phase == phase:
                    return entry
                time.sleep(0.02)
            raise AssertionError(f"{service.name} never was {phase}: {state.read_state(place.run)}")

        return wait_for

    yield start
    stopping.set()
    for keeper, service in keepers:
        keeper.join(timeout=5)
        daemon.stop(service, place, state.read_state(place.run).get(service.name))


TypeOfKeep = Callable[[Service], Callable[[str], ServiceState]]


def test_a_service_that_dies_is_reported_with_its_exit_and_its_last_lines(keep: TypeOfKeep) -> None:
    wait_for = keep(a_service("import time; print('the reason', flush=True); time.sleep(0.5); raise SystemExit(3)"))
    died = wait_for("died")
    assert died.why == "it ended with exit code 3"
    assert died.log_tail[-1] == "the reason"


def test_a_service_that_ends_before_it_is_ready_did_not_start(keep: TypeOfKeep) -> None:
    wait_for = keep(a_service("raise SystemExit('no luck')", ready=lambda _: "not yet"))
    failed = wait_for("failed")
    assert "did not start: it ended with exit code 1" in failed.why
    assert failed.log_tail[-1] == "no luck"


def test_a_service_that_never_gets_ready_is_given_up_and_ended(keep: TypeOfKeep, place: Place) -> None:
    slow = replace(a_service("import time; time.sleep(60)", ready=lambda _: "still loading"), start_seconds=0.3)
    failed = keep(slow)("failed")
    assert "not ready after 0 s (still loading)" in failed.why
    assert daemon.marked(place.home) == set()


def test_a_step_that_fails_says_why_and_nothing_is_started(keep: TypeOfKeep) -> None:
    def refuse(_: Place) -> None:
        raise ConfigurationError("The disk is full", doing="preparing")

    failed = keep(replace(a_service("raise SystemExit(9)"), before=(refuse,)))("failed")
    assert failed.why == "did not start: The disk is full while preparing"
    assert failed.processes == {}


def test_only_a_service_that_may_restart_is_started_again_and_counts(keep: TypeOfKeep) -> None:
    wait_for = keep(replace(a_service("import time; time.sleep(0.2)"), restarts=True))
    assert wait_for("restarting").restarts == 1
    ready = wait_for("ready")
    assert ready.restarts == 1


def test_what_an_earlier_supervisor_left_running_is_taken_over_as_it_is(keep: TypeOfKeep, place: Place) -> None:
    service = a_service("import time; time.sleep(60)")
    child = daemon.spawn(service, service.commands["it"](place), place)
    identity = daemon.identify(child.pid)
    assert identity is not None
    state.write_state(place.run, {service.name: ServiceState("ready", 0.0, {"it": identity})})
    assert keep(service)("ready").processes == {"it": identity}


def test_the_real_servers_are_never_restarted_silently() -> None:
    assert {name for name, service in SERVICES.items() if service.restarts} == {"worker", "api"}
