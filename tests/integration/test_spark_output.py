"""What a command prints with `--json` is one document, whatever Spark's JVM has to say meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from contracts.settings import CHECKOUT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

# the JVM logs each of its pauses, by itself to stdout, as it does with its warnings
TALKATIVE = "-Xlog:safepoint=info"
SESSION = """
from contracts.settings import load_settings
from featurestore.spark_session import start
print(start(load_settings(), "talkative").range(1000).count())
"""


def test_what_the_jvm_logs_is_not_among_what_is_printed() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SESSION],
        env={**os.environ, "SPARK_SUBMIT_OPTS": TALKATIVE},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert run.stdout == "1000\n"
