"""Java, ports and processes: what the machine has, said so that a newcomer can mend it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from contracts.errors import ConfigurationError
from infra.stack import ports, processes
from infra.stack.java import java, parse_version
from infra.stack.processes import Identity, identify


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_392"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx\nopenjdk version "21" 2023-09-19', 21),
    ],
)
def test_the_version_of_java_is_read_from_what_it_prints(said: str, version: int) -> None:
    assert parse_version(said) == version


def test_no_java_is_said_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Java 17 is not installed") as caught:
        java()
    assert "apt-get install -y openjdk-17-jre-headless" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_java_that_is_too_old_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match="Java 11 cannot run"):
        java()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_taken_port_names_who_needs_it_and_who_holds_it(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(ConfigurationError) as caught:
        ports.check_free([ports.Claim("kafka", "broker", port)])
    assert f"port {port} (kafka broker) is held by process {os.getpid()} (" in caught.value.why
    assert "RD360_PORT_OFFSET" in caught.value.hint


def test_a_free_port_passes(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    ports.check_free([ports.Claim("kafka", "broker", port)])


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_a_pid_that_was_given_to_somebody_else_is_neither_alive_nor_signalled(sleeper: subprocess.Popen[bytes]) -> None:
    real = identify(sleeper.pid)
    assert real is not None
    assert real.alive()
    stranger = Identity(real.pid, f"{real.started}0")
    assert not stranger.alive()
    assert processes.end([stranger], [], with_signal=signal.SIGKILL, grace=0, leaders_only=False) == set()
    assert real.alive()


def test_a_process_stays_the_same_when_the_clock_of_the_machine_is_set(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = identify(sleeper.pid)
    assert real is not None
    told = psutil.Process(sleeper.pid).create_time()
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
    assert psutil.Process(sleeper.pid).create_time() == pytest.approx(told + 3600), "it looks as after a clock that was set"
    assert real.alive()
    assert identify(sleeper.pid) == real


def test_a_process_that_ignores_the_signal_is_killed_after_the_grace() -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    identity = identify(child.pid)
    assert identity is not None
    killed = processes.end([identity], [], with_signal=signal.SIGTERM, grace=0.2, leaders_only=False)
    assert killed == {identity}
    assert child.wait(timeout=5) == -signal.SIGKILL
    child.stdout.close()


def test_a_child_that_left_for_a_session_of_its_own_is_found_by_the_marker(tmp_path: Path) -> None:
    env = os.environ | {"RD360_HOME": str(tmp_path), "RD360_SERVICE": "airflow"}
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", script], env=env, check=True)
    found = processes.marked(tmp_path, "airflow")
    assert len(found) == 1
    assert processes.marked(tmp_path, "kafka") == set()
    assert processes.marked(tmp_path / "other") == set()
    processes.end(found, [], with_signal=signal.SIGTERM, grace=5, leaders_only=False)
    assert processes.marked(tmp_path) == set()
