"""How fast one contestant went through the same messages, and what stands in the way of comparing two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.receipts import Filled
from tests.outcome import median, spread


@dataclass(frozen=True, slots=True)
class Pace:
    """Receipts done within a span of wall seconds, and the processor seconds of the process meanwhile.

    The span begins when the first batch is done, not with the process: connecting, joining a group and loading code are no
    part of it, and neither are the receipts of that batch.
    """

    receipts: int
    seconds: float
    cpu_seconds: float

    def as_run(self, filled: Filled) -> dict[str, Any]:
        """What one run saw, as it is reported."""
        lines = self.receipts * filled.lines_a_receipt
        return {
            "seconds": round(self.seconds, 3),
            "cpu_seconds": round(self.cpu_seconds, 3),
            "receipts_per_second": round(self.receipts / self.seconds, 1),
            "lines_per_second": round(lines / self.seconds, 1),
            "lines_per_cpu_second": round(lines / self.cpu_seconds, 1),
        }


MEASURES = ("lines_per_second", "receipts_per_second", "lines_per_cpu_second")


def concluded(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each measure by contestant and its spread, and our share of each rival's, run by run.

    Ratios are taken within a run, where both had the same neighbours on the machine.
    """
    figures: dict[str, Any] = {}
    for name in dict.fromkeys(run["contestant"] for run in runs):
        of_name = [run for run in runs if run["contestant"] == name]
        for measure in MEASURES:
            values = [run[measure] for run in of_name]
            figures[f"{name}_{measure}"] = median(values)
            figures[f"{name}_{measure}_spread"] = round(spread(values), 3)
    return figures | _ratios(runs)


def _ratios(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    by_round: dict[int, dict[str, dict[str, Any]]] = {}
    for run in runs:
        by_round.setdefault(run["round"], {})[run["contestant"]] = run
    rivals = [name for name in dict.fromkeys(run["contestant"] for run in runs) if name != "worker"]
    return {
        f"worker_to_{rival}": round(median([_ratio(found["worker"], found[rival]) for found in by_round.values()]), 3)
        for rival in rivals
    }


def _ratio(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    return float(ours["lines_per_second"] / theirs["lines_per_second"])
