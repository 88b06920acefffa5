"""Logs of long-running commands: JSON lines where no terminal reads them, whoever wrote them, and no secrets of a traceback."""

from __future__ import annotations

import json
import subprocess
import sys

from contracts.settings import CHECKOUT

PROGRAM = """
import logging, structlog
from infra import logs
logs.configure()
structlog.get_logger("x").info("request", status=200)
logging.getLogger("library").warning("slow %s", "disk")
logging.getLogger("library").info("chatter")
def fail(password):
    raise ValueError("broken")
try:
    fail("hunter2")
except ValueError as error:
    structlog.get_logger("x").error("bug", exc_info=error)
    logging.getLogger("library").exception("trouble")
"""


def test_every_line_is_json_and_shows_no_local_variable() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["event"], line["level"]) for line in lines] == [
        ("request", "info"),
        ("slow disk", "warning"),
        ("bug", "error"),
        ("trouble", "error"),
    ]
    assert lines[1]["logger"] == "library"
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert "broken" in json.dumps(lines[2])
    assert "hunter2" not in done.stderr
