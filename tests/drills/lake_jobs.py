"""The lake's jobs as processes of the command line: watched by the locks that they hold, killed with all that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg

from contracts.errors import DependencyUnavailable
from contracts.settings import CHECKOUT, Settings
from contracts.spark_conf import CATALOG_DATABASE
from infra.stack.place import Place
from lake.database import LOCK_SPACE, lock_number

LINE = ("bronze", "silver", "gold", "actuals", "features")  # `rd360 lake run` makes them one after another, in one session
JOBS = (*LINE, "marts")
QUICK_JOBS = ("silver",)  # the one that writes most tables in a run
COMMANDS = {**dict.fromkeys(LINE, ("lake", "run")), "marts": ("lake", "marts")}
POLL_SECONDS = 0.05
GONE_SECONDS = 20.0  # Spark's Python workers are groups of their own: they end when they see that the JVM has


class JobProcess:
    """One command of `rd360` in a session and a process group of its own."""

    def __init__(self, settings: Settings, command: tuple[str, ...], log: Path, **environment: str) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "infra.cli", *command],
                env=Place(settings).environment("lake-drill", ours=True) | environment,
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def end_within(self, seconds: float) -> int | None:
        """The exit code; None where it still runs after so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def kill(self) -> bool:
        """Ends it and its JVM by SIGKILL, and waits until nothing of its session is left. Whether it was still running.

        Raises DependencyUnavailable where something stays.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        deadline = time.monotonic() + GONE_SECONDS
        while left := _of_session(self._process.pid):
            if time.monotonic() > deadline:
                raise DependencyUnavailable(f"{len(left)} processes of a killed job live on", doing="killing it", why=str(left))
            time.sleep(POLL_SECONDS)
        return code == -signal.SIGKILL

    def output(self) -> str:
        """The last of what it said, without the frames of Java's traces, which hide what they are about."""
        said = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(line for line in said if not line.lstrip().startswith(("at ", "... ")))[-3000:]


class Locks:
    """Which jobs are at work: each holds its advisory lock in PostgreSQL while it is."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.postgres_url(CATALOG_DATABASE)
        self._jobs = {lock_number(settings, f"lake {job}") % 2**32: job for job in JOBS}  # pg_locks has it unsigned

    def __enter__(self) -> Locks:
        self._connection = psycopg.connect(self._url, autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def held(self) -> set[str]:
        """The jobs that are at work now."""
        found = self._connection.execute(
            "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s", (LOCK_SPACE,)
        )
        return {self._jobs[number] for (number,) in found if number in self._jobs}


def _of_session(leader: int) -> list[str]:
    """The processes, other than ended ones, of a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(f"{process.pid} {process.name()}")
    return found
