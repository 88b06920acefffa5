"""The only place where wall-clock time enters. Everything else takes the time as an argument."""

from __future__ import annotations

import time
from collections.abc import Callable

EpochMs = int
Clock = Callable[[], EpochMs]


def system_clock() -> EpochMs:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
