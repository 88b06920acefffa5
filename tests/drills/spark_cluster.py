"""A standalone Spark cluster of a drill's own: a master and workers as processes on the loopback, from pyspark's own jars."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from contracts.errors import DependencyUnavailable
from infra.stack.place import Place
from tests.ports import free_port

HOST = "127.0.0.1"
MASTER, WORKER = "org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker"
WORKERS = 2
EXECUTOR_MEMORY = "1g"  # all that a worker has to give, beside one core
DAEMON_MEMORY = "256m"  # a master and a worker only keep the books
START_SECONDS = 120.0
END_SECONDS = 20.0
POLL_SECONDS = 0.1


class Daemon:
    """A master or a worker, and what it has started, as a process group of its own."""

    def __init__(self, place: Place, name: str, kind: str, *arguments: str, folder: Path) -> None:
        self.log = folder / f"{name}.log"
        spark = place.package_folder("pyspark")
        # no variable of ours: what executors import must come to them from the driver
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("RD360_", "PYTHON", "PYSPARK", "SPARK"))}
        scratch = str(folder / "scratch")  # what a killed executor leaves goes with the folder
        places = {"SPARK_HOME": str(spark), "SPARK_LOCAL_IP": HOST, "SPARK_LOCAL_DIRS": scratch}
        environment = kept | places | {"SPARK_DAEMON_MEMORY": DAEMON_MEMORY}
        command = [str(spark / "bin" / "spark-class"), kind, "--host", HOST, *arguments]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )

    def kill(self) -> None:
        """Ends it and its executors by SIGKILL, as a machine's end would, and waits for that."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(END_SECONDS)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster: `master` is the setting that names it."""

    master: str
    workers: list[Daemon] = field(repr=False)
    folder: Path

    def executors(self) -> list[Path]:
        """The folders of all executors that workers have ever started, one each."""
        return sorted(self.folder.glob("worker-*/app-*/*"))


@contextmanager
def cluster(place: Place, folder: Path) -> Iterator[Cluster]:
    """A master and WORKERS workers, all of them registered; none of them is left afterwards.

    Raises DependencyUnavailable where they do not find each other.
    """
    folder.mkdir()
    port, web = free_port(), free_port()
    address = f"spark://{HOST}:{port}"
    with ExitStack() as ends:
        at = ("--port", str(port), "--webui-port", str(web))
        master = Daemon(place, "master", MASTER, *at, folder=folder)
        ends.callback(master.kill)
        workers = []
        for number in range(WORKERS):
            work = folder / f"worker-{number}"
            gives = ("--cores", "1", "--memory", EXECUTOR_MEMORY, "--work-dir", str(work), "--webui-port", str(free_port()))
            workers.append(Daemon(place, work.name, WORKER, *gives, address, folder=folder))
            ends.callback(workers[-1].kill)
        _wait_for_workers(master, web)
        yield Cluster(address, workers, folder)


def _wait_for_workers(master: Daemon, web: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (alive := _alive_workers(web)) < WORKERS:
        if master.process.poll() is not None or time.monotonic() > deadline:
            said = master.log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise DependencyUnavailable(f"{alive} of {WORKERS} Spark workers came", doing="starting a Spark cluster", why=said)
        time.sleep(POLL_SECONDS)


def _alive_workers(web: int) -> int:
    """How many workers the master knows; 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{web}/json/", timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"])
    except OSError:
        return 0
