"""A bench in its quick form, on real servers: it measures, its rows are right, and it leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from contracts.settings import CHECKOUT, Settings
from infra.cli.__main__ import INTERRUPTED
from streams.broker import connect
from tests import ground
from tests.bench import stream
from tests.waiting import until

pytestmark = pytest.mark.stack


def test_the_stream_bench_measures_and_leaves_nothing(settings: Settings) -> None:
    said: list[str] = []
    outcome = stream.run(settings, data=None, lines=None, runs=1, say=said.append, quick=True, with_quix=False)
    assert outcome.held, outcome.notes
    assert outcome.figures["rows_checked"] > 0
    assert {run["contestant"] for run in outcome.runs} == {"worker", "bare_loop"}
    assert all(run["lines_per_second"] > 0 for run in outcome.runs)
    check_nothing_is_left(settings)


def test_a_bench_that_is_told_to_end_stops_its_worker_and_leaves_nothing(settings: Settings, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "RD360_HOME": str(settings.home)}
    environment["RD360_PORT_OFFSET"] = str(settings.port_offset)
    command = [sys.executable, "-m", "infra.cli", "bench", "freshness", "--quick"]
    with (tmp_path / "said").open("wb") as said:
        bench = subprocess.Popen(command, env=environment, cwd=CHECKOUT, stdout=said, stderr=said)
    (worker,) = until(lambda: workers_of(bench.pid), "its worker runs")
    until(lambda: worker.cpu_times().user > 0.1, "it loads its code")  # the bench surely knows by then that it was started
    bench.send_signal(signal.SIGTERM)
    assert bench.wait(60) == INTERRUPTED, (tmp_path / "said").read_text()
    assert not worker.is_running()
    check_nothing_is_left(settings)


def workers_of(parent: int) -> list[psutil.Process]:
    found = psutil.process_iter(["ppid", "cmdline"])
    return [one for one in found if one.info["ppid"] == parent and "worker" in (one.info["cmdline"] or ())]


def check_nothing_is_left(settings: Settings) -> None:
    assert not [name for name in connect(settings).list_topics(timeout=10).topics if ground.PREFIX in name]
    assert not list((settings.home / "data" / "streams").glob(f"*{ground.PREFIX}*"))
    assert not list((settings.home / "logs").glob(f"{ground.PREFIX}*"))
