"""Waiting for a condition, with a deadline that a busy machine meets too."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def until(condition: Callable[[], Any], what: str = "it", seconds: float = 90.0) -> Any:
    """The first true value of a condition. Fails at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        time.sleep(0.02)
    return value
