"""Who takes part in `bench stream`: our worker, the bare loop, and the same kernel under Quix Streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from contracts.errors import RetailDemandError, UsageError
from contracts.settings import CHECKOUT, Settings
from contracts.topics import SALES
from infra.stack.place import Place
from streams.lag import LagReader, PartitionLag
from tests import ground
from tests.bench.pace import Pace
from tests.bench.receipts import Filled
from tests.bench.usage import cpu_seconds
from tests.stream_worker import WorkerProcess
from tests.waiting import until

PEERS = "peers"  # the environment of requirements/peers.txt
PATIENCE_SECONDS = 1_800.0
LAST_WORDS = 1_500  # of a log, characters
# Between two questions to Kafka about what is committed. Fifty a second took an eighth of a core from those who are measured.
POLL_SECONDS, LONGEST_POLL_SECONDS = 0.02, 1.0

Contestant = Callable[[Settings, Filled], Pace]


def worker(settings: Settings, filled: Filled) -> Pace:
    """Our worker as it is deployed, from its first flush until all is written and committed."""
    with ground.running_worker(settings) as process:
        pace = paced(process, filled.receipts)
        process.stop()
    return pace


def paced(process: WorkerProcess, receipts: int) -> Pace:
    """How a worker that was just started gets through so many receipts."""
    assert process.process is not None
    pid = process.process.pid
    first = until(lambda: _done(process), "the worker writes its first batch")
    started, cpu_started = time.monotonic(), cpu_seconds(pid)
    if first >= receipts:
        raise UsageError(f"{receipts} receipts are too few", doing="measuring the worker", why="its first batch is not measured")
    wait_committed(process)
    seconds, cpu = time.monotonic() - started, cpu_seconds(pid) - cpu_started
    return Pace(receipts - first, seconds, cpu)


def wait_committed(process: WorkerProcess) -> None:
    """Waits until the worker has committed the end of every source topic. Raises RetailDemandError where it ends before."""
    began, at_first = time.monotonic(), None
    with LagReader(process.settings) as kafka:
        while behind := _behind(kafka.lags()):
            if process.process is None or process.process.poll() is not None:
                raise RetailDemandError("The worker has ended", doing="measuring it", why=process.log()[-LAST_WORDS:])
            seconds = time.monotonic() - began
            if seconds > PATIENCE_SECONDS:
                raise RetailDemandError(f"The worker is {behind} receipts behind", doing="measuring it")
            at_first = behind if at_first is None else at_first
            time.sleep(_pause(at_first - behind, seconds, behind))


def _pause(done: int, seconds: float, behind: int) -> float:
    """Half of the seconds that what is behind takes, at the speed so far: the end is met within POLL_SECONDS."""
    if done <= 0:
        return POLL_SECONDS
    return min(max(seconds * behind / done / 2, POLL_SECONDS), LONGEST_POLL_SECONDS)


def bare_loop(settings: Settings, filled: Filled) -> Pace:
    """The kernel alone, in a process of its own."""
    return _alone([sys.executable, "-m", "tests.bench.bare_loop", str(filled.receipts)], settings)


def quix(settings: Settings, filled: Filled) -> Pace:
    """The same kernel and rows under Quix Streams, in its own environment; see tests/bench/quix_loop.py."""
    python = str(Place(settings).venv_bin(PEERS, "python"))
    command = [python, "-m", "tests.bench.quix_loop", str(filled.receipts)]
    return _alone(command, settings)


def events_done(metrics: str) -> int:
    """The receipts that a worker has flushed, from the text of its metrics."""
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            if sample.name == "rd360_stream_events_total" and sample.labels["topic"] == SALES.kind:
                return int(sample.value)
    return 0


def _done(process: WorkerProcess) -> int | None:
    done = events_done(process.get("/metrics")[1].decode())
    return done or None


def _behind(lags: list[PartitionLag]) -> int:
    return sum(one.behind for one in lags)


def _alone(command: list[str], settings: Settings) -> Pace:
    """Runs a contestant's process and reads the span that it prints. Raises RetailDemandError with its last words."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "RD360_HOME": str(settings.home),
        "RD360_KAFKA_BOOTSTRAP": settings.kafka,
        "RD360_REDIS_ADDRESS": settings.redis,
        "RD360_TOPIC_PREFIX": settings.topic_prefix,
        "OMP_NUM_THREADS": "1",
    }
    log = ground.log_file(settings)
    with log.open("ab") as errors:
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=errors, cwd=CHECKOUT, check=False)
    if done.returncode != 0:
        raise RetailDemandError(f"{' '.join(command[1:])} failed", doing="measuring it", why=_last_words(log))
    return Pace(**json.loads(done.stdout))


def _last_words(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-LAST_WORDS:]
