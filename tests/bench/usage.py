"""What a process has used so far: processor time and memory."""

from __future__ import annotations

import psutil

from contracts.errors import RetailDemandError


def cpu_seconds(pid: int) -> float:
    """User and system seconds of all threads of a process. Raises RetailDemandError where it has ended."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess as error:
        raise RetailDemandError(f"Process {pid} has ended", doing="reading its processor time") from error
    return float(times.user + times.system)


def resident_mb(pid: int) -> float:
    """The memory that a process holds, MB."""
    return round(psutil.Process(pid).memory_info().rss / 2**20, 1)
