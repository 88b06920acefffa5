"""What a job did, in numbers: one report per run, the same shape for every job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from contracts.clock import Clock, EpochMs, system_clock


@dataclass(frozen=True, slots=True)
class JobReport:
    """One run of one job. What a row is depends on the job and is said in `detail` where it is not plain."""

    job: str
    started_at: EpochMs
    seconds: float
    rows_in: int
    rows_out: int
    rejected: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON-ready values."""
        return asdict(self)


class Stopwatch:
    """Times a job from its making to its report."""

    def __init__(self, job: str, clock: Clock = system_clock) -> None:
        self.job = job
        self.clock = clock
        self.started_at = clock()

    def report(self, rows_in: int, rows_out: int, rejected: int = 0, **detail: Any) -> JobReport:
        """The report of the job as it ends now."""
        seconds = (self.clock() - self.started_at) / 1000
        return JobReport(self.job, self.started_at, seconds, rows_in, rows_out, rejected, detail)
