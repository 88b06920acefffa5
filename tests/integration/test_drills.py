"""The drills in their quick forms, through the command line: each bar holds on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from contracts.settings import CHECKOUT, Settings

# minutes of a whole line in one test: the longest took 404 s beside other work, and there are slower machines
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]


def drill(settings: Settings, *arguments: str) -> dict[str, Any]:
    """The outcome of one drill. It is a process of its own: its Spark session must not be that of other tests."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(CHECKOUT),
        "RD360_HOME": str(settings.home),
        "RD360_PORT_OFFSET": str(settings.port_offset),
    }
    command = [sys.executable, "-m", "infra.cli", "drill", *arguments, "--quick", "--json"]
    done = subprocess.run(command, env=environment, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 5), done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def told(found: dict[str, Any]) -> str:
    """What did not hold, whole: the figures, the notes and the bars missed."""
    missed = {figure: bar["limit"] for figure, bar in found["bars"].items() if not bar["held"]}
    return json.dumps({"missed": missed, "notes": found["notes"], "figures": found["figures"]}, indent=1)


def test_replay(settings: Settings) -> None:
    found = drill(settings, "replay")
    assert found["held"], told(found)
    assert found["figures"]["late_set_aside"] > 0
    assert found["figures"]["duplicates"] > 0


def test_kill(settings: Settings) -> None:
    found = drill(settings, "kill")
    assert found["held"], told(found)


def test_outage(settings: Settings) -> None:
    found = drill(settings, "outage")
    assert found["held"], told(found)


def test_archive(settings: Settings) -> None:
    found = drill(settings, "archive")
    assert found["held"], told(found)
    assert found["figures"]["quarantined"] > 0
    assert found["figures"]["duplicate_lines"] > 0


def test_lake_kill(settings: Settings) -> None:
    found = drill(settings, "lake-kill")
    assert found["held"], told(found)


def test_cluster(settings: Settings) -> None:
    found = drill(settings, "cluster")
    assert found["held"], told(found)
