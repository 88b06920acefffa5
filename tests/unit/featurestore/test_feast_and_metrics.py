"""Feast leaves our metrics alone: counters stay in the process and the registry that they were made in."""

from __future__ import annotations

import os
import subprocess
import sys

from contracts.settings import CHECKOUT

PROGRAM = """
import featurestore.repo, feast
from prometheus_client import values
print(values.ValueClass.__name__)
"""


def test_metrics_made_after_feast_was_imported_are_not_shared_between_processes() -> None:
    fresh = {name: value for name, value in os.environ.items() if name != "PROMETHEUS_MULTIPROC_DIR"}  # Feast sets it here too
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=CHECKOUT, env=fresh, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "MutexValue"
