"""The local stack as its users meet it: up, died, killed, external, down; on Valkey and PostgreSQL in a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import Settings, load_settings
from infra.cli.test import free_offset
from infra.stack import probes, supervisor
from infra.stack import state as states
from infra.stack.daemon import POLL_SECONDS, marked
from infra.stack.place import Place
from infra.stack.ports import is_taken
from infra.stack.supervisor import Report
from tests.waiting import until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def own(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A second home beside the tests' stack, sharing what is installed; its data last for the module."""
    home = tmp_path_factory.mktemp("home")
    # pytest's folders are its user's alone; this stack must also work where PostgreSQL's own user may not enter
    for shared in ("venvs", "jars"):
        (home / shared).symlink_to(settings.home.resolve() / shared)
    own = load_settings(home=home, port_offset=free_offset(settings))
    yield own
    supervisor.down(own)


@pytest.fixture
def running(own: Settings) -> Settings:
    """That home with Valkey and PostgreSQL up."""
    supervisor.up(own, ["valkey", "postgres"])
    return load_settings(home=own.home, port_offset=own.port_offset)


def report(settings: Settings, name: str) -> Report:
    return next(r for r in supervisor.status(settings) if r.name == name)


def stays(holds: Callable[[], bool], what: str) -> None:
    """That something does not happen can only be seen by looking for a while: here several rounds of the supervisor."""
    end = time.monotonic() + 5 * POLL_SECONDS
    while time.monotonic() < end:
        assert holds(), f"did not stay {what}"


def redis_says(settings: Settings, *words: str) -> str:
    host, port = probes.split_address(settings.redis)
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.recv(1024).decode()


def query(settings: Settings, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(settings.postgres_url("rd360"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
        rows: list[tuple[object, ...]] = cursor.fetchall() if cursor.description else []
    connection.close()
    return rows


def test_up_starts_what_was_asked_for_and_nothing_else(running: Settings) -> None:
    ready = {r.name for r in supervisor.status(running) if r.healthy and not r.external}
    assert ready == {"valkey", "postgres"}
    assert report(running, "postgres").memory_bytes > 10_000_000


def test_up_again_changes_nothing(running: Settings) -> None:
    before = report(running, "postgres").pids
    supervisor.up(running, ["valkey", "postgres"])
    assert report(running, "postgres").pids == before


def test_down_leaves_no_process_and_no_port_and_up_finds_the_data_again(running: Settings) -> None:
    redis_says(running, "SET", "kept", "yes")
    query(running, "CREATE TABLE IF NOT EXISTS kept (x int)")
    query(running, "INSERT INTO kept VALUES (42)")
    assert supervisor.down(running) == 0
    assert marked(running.home.resolve()) == set()
    assert not any(is_taken(running.port(port)) for port in (6379, 5432))
    supervisor.up(running, ["valkey", "postgres"])
    assert "yes" in redis_says(running, "GET", "kept")
    assert query(running, "SELECT max(x) FROM kept") == [(42,)]


def test_a_server_that_dies_is_reported_and_started_only_by_the_next_up(running: Settings) -> None:
    supervisor.up(running, ["valkey"])  # one that changes nothing must not count as that next one
    (pid,) = report(running, "valkey").pids
    psutil.Process(pid).kill()
    until(lambda: report(running, "valkey").state == "died", "reported as died")
    died = report(running, "valkey")
    assert died.why == "valkey ended with signal SIGKILL"
    assert any("ready to accept connections" in line.lower() for line in died.log_tail)
    stays(lambda: report(running, "valkey").state == "died", "dead until the next `up`")
    supervisor.up(running, ["valkey"])
    assert report(running, "valkey").healthy


def test_services_outlive_a_supervisor_that_was_killed_and_the_next_up_takes_them_over(running: Settings) -> None:
    before = {name: report(running, name).pids for name in ("valkey", "postgres")}
    daemon = states.read_supervisor(Place(running).run)
    assert daemon is not None
    psutil.Process(daemon.pid).kill()
    until(lambda: not daemon.alive(), "the supervisor gone")
    supervisor.up(running, ["valkey", "postgres"])
    assert {name: report(running, name).pids for name in before} == before
    psutil.Process(before["valkey"][0]).kill()
    until(lambda: report(running, "valkey").state == "died", "watched by the new supervisor")


def test_down_works_after_the_supervisor_was_killed(running: Settings) -> None:
    daemon = states.read_supervisor(Place(running).run)
    assert daemon is not None
    psutil.Process(daemon.pid).kill()
    until(lambda: not daemon.alive(), "the supervisor gone")
    supervisor.down(running)
    assert marked(running.home.resolve()) == set()
    assert not any(is_taken(running.port(port)) for port in (6379, 5432))


def test_a_service_is_found_by_its_marker_alone_when_its_state_is_lost(running: Settings) -> None:
    for name in ("valkey", "postgres"):
        assert set(report(running, name).pids) <= {i.pid for i in marked(running.home.resolve(), name)}


def test_down_also_ends_what_a_service_moved_to_a_session_of_its_own(running: Settings) -> None:
    env = Place(running).environment("valkey", ours=False)
    script = "import subprocess; subprocess.Popen(['sleep', '300'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", script], env=env, check=True)
    assert "sleep" in {psutil.Process(i.pid).name() for i in marked(running.home.resolve(), "valkey")}
    supervisor.down(running)
    assert marked(running.home.resolve()) == set()


def test_a_taken_port_names_its_holder_before_anything_starts(own: Settings) -> None:
    supervisor.down(own)
    with socket.create_server(("127.0.0.1", own.port(5432))), pytest.raises(ConfigurationError) as caught:
        supervisor.up(own, ["valkey", "postgres"])
    assert f"port {own.port(5432)} (postgres postgres) is held by process {os.getpid()}" in caught.value.why
    assert all(r.state == "not started" for r in supervisor.status(own) if not r.external)


def test_a_stack_that_runs_with_other_settings_is_not_mixed_with_these(running: Settings) -> None:
    with pytest.raises(ConfigurationError, match="runs with other settings") as caught:
        supervisor.up(running.model_copy(update={"topic_prefix": "other."}), ["valkey"])
    assert "RD360_TOPIC_PREFIX" in caught.value.why


def test_a_server_of_somebody_else_is_asked_and_not_started(running: Settings, tmp_path: Path) -> None:
    guest = load_settings(home=tmp_path, port_offset=free_offset(running), redis_address=running.redis)
    (asked,) = supervisor.up(guest, ["valkey"])
    assert (asked.state, asked.pids) == ("external", ())
    assert states.read_supervisor(Place(guest).run) is None


def test_a_server_of_somebody_else_that_is_down_is_named_with_its_setting(own: Settings, tmp_path: Path) -> None:
    nobody = free_offset(own) + 6379
    guest = load_settings(home=tmp_path, redis_address=f"127.0.0.1:{nobody}")
    with pytest.raises(DependencyUnavailable, match="valkey does not answer") as caught:
        supervisor.up(guest, ["valkey"])
    assert "RD360_REDIS_ADDRESS" in caught.value.hint


def test_an_interrupted_first_start_of_postgres_is_taken_up_again(own: Settings, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "venvs").symlink_to(own.home / "venvs")
    half = home / "data" / "postgres" / "cluster"
    half.mkdir(parents=True)
    (half / "left").write_text("by an initdb that was killed")
    fresh = load_settings(home=home, port_offset=free_offset(own))
    try:
        (ready,) = supervisor.up(fresh, ["postgres"])
        assert ready.healthy
        assert query(load_settings(home=home, port_offset=fresh.port_offset), "SELECT 1") == [(1,)]
    finally:
        supervisor.down(fresh)


def test_the_status_command_ends_with_4_while_something_is_dead(running: Settings) -> None:
    (pid,) = report(running, "valkey").pids
    psutil.Process(pid).send_signal(signal.SIGKILL)
    until(lambda: report(running, "valkey").state == "died", "reported as died")
    env = os.environ | {"RD360_HOME": str(running.home), "RD360_PORT_OFFSET": str(running.port_offset)}
    done = subprocess.run(
        [sys.executable, "-m", "infra.cli", "status"], env=env, capture_output=True, text=True, cwd=Path.cwd(), check=False
    )
    assert done.returncode == 4, done.stdout
    assert "signal SIGKILL" in done.stdout
