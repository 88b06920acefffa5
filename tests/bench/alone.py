"""What every contestant in a process of its own does alike: the kernel that it drives, and how it says what it saw."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from contracts.errors import UsageError
from contracts.settings import Settings
from contracts.windows import StoreCalendars
from streams.sales import SalesKernel


def kernel(settings: Settings) -> SalesKernel:
    """The kernel of `sales_rolling` as the worker has it."""
    return SalesKernel(StoreCalendars(settings.time_zone, settings.store_time_zones), settings.allowed_lateness_ms)


def say(found: dict[str, Any]) -> None:
    """The result, as the one line of standard output."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


class Span:
    """Wall and processor seconds from a mark to the end, and the receipts done in between."""

    def __init__(self) -> None:
        self._began: tuple[int, float, float] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the first batch is done."""
        return self._began is not None

    def begin(self, done: int) -> None:
        """The first batch is done, so many receipts."""
        self._began = (done, time.monotonic(), time.process_time())

    def end(self, done: int) -> dict[str, Any]:
        """All is done, so many receipts. Raises UsageError where the first batch was all there was."""
        if self._began is None or self._began[0] >= done:
            raise UsageError(f"{done} receipts are too few", doing="measuring a loop", why="its first batch is not measured")
        first, started, cpu_started = self._began
        return {
            "receipts": done - first,
            "seconds": time.monotonic() - started,
            "cpu_seconds": time.process_time() - cpu_started,
        }
