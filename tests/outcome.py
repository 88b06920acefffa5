"""What a bench or a drill found: its figures, the bars they are held to, and the machine they were seen on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSIONS_OF = ("faust-streaming", "aiokafka", "confluent-kafka", "feast", "redis", "rocksdict", "msgspec")


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure and its limit. A missing figure does not hold."""

    figure: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, figures: dict[str, Any]) -> bool:
        """Whether the figure is there and within its limit."""
        value = figures.get(self.figure)
        if value is None:
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def text(self) -> str:
        """The limit in words."""
        parts = [f"≥ {self.at_least:,g}"] if self.at_least is not None else []
        return " and ".join(parts + ([f"≤ {self.at_most:,g}"] if self.at_most is not None else []))


@dataclass(slots=True)
class Outcome:
    """One bench or drill that has ended. `runs` holds what each repetition saw; `figures` what is concluded from them."""

    name: str
    figures: dict[str, Any]
    bars: Sequence[Bar]
    runs: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether every bar holds."""
        return all(bar.holds(self.figures) for bar in self.bars)

    def as_dict(self) -> dict[str, Any]:
        """The outcome as one JSON object."""
        bars = {bar.figure: {"limit": bar.text(), "held": bar.holds(self.figures)} for bar in self.bars}
        return {
            "name": self.name,
            "held": self.held,
            "figures": self.figures,
            "bars": bars,
            "runs": self.runs,
            "notes": self.notes,
            "machine": machine(),
            "versions": versions(),
        }


def machine() -> dict[str, Any]:
    """The processor, its cores that this process may use, and the memory in GB. No name of the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": _memory_gb(),
        "system": platform.system(),
    }


def versions() -> dict[str, str]:
    """The versions of what a stream figure depends on."""
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in VERSIONS_OF}


def spread(values: Sequence[float]) -> float:
    """The range of repeated measurements as a share of their median, 0 for one alone and for none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    middle = ordered[len(ordered) // 2]
    return (ordered[-1] - ordered[0]) / middle if middle else 0.0


def median(values: Sequence[float]) -> float:
    """The middle value; the upper one of two."""
    return sorted(values)[len(values) // 2]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
