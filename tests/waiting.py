"""Waiting for a condition, with a deadline that a busy machine meets too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

STILL_SECONDS = 5.0  # a try that took longer: the machine itself may have stood still, and gave nobody that time


def until(condition: Callable[[], Any], what: str = "it", seconds: float = 90.0) -> Any:
    """The first true value of a condition. Fails at the deadline."""
    left, tried_at = seconds, time.monotonic()
    while not (value := condition()):
        assert left > 0, f"{what}: not after {seconds:.0f} s"
        time.sleep(0.02)
        now = time.monotonic()
        left, tried_at = left - min(now - tried_at, STILL_SECONDS), now
    return value
