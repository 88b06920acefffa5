"""What the archive's jobs tell whoever runs them in a terminal: reports as lines, figures as rows of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # Spark is imported by the command that needs it: the help must be quick
    from lake.report import JobReport

_GONE = {"lost": "are lost, as accepted", "dropped_before_we_met": "were gone before bronze met the topic"}


def told(report: JobReport) -> Iterator[str]:
    """A job's report in lines: its figures, then what somebody has to know of it: why rows were refused, what is lost."""
    detail = report.detail
    rejected = f", {report.rejected} rejected" if report.rejected else ""
    dry = "; a dry run: nothing is written" if detail.get("dry_run") else ""
    yield f"{report.job}: {report.rows_in} rows in, {report.rows_out} out{rejected}, {report.seconds:.1f} s{dry}"
    for name in ("accepted_by_old_reason", "quarantined_by_reason"):
        for reason, count in detail.get(name, {}).items():
            yield f"  {name.split('_')[0]} {reason}: {count}"
    for name, why in _GONE.items():
        for gone in detail.get(name, ()):
            yield f"  {gone['topic']}/{gone['partition']}: offsets {gone['first']} to {gone['last']} {why}"
    for warning in detail.get("warnings", ()):
        yield f"  warning: {warning}"


def maintained(kept: dict[str, Any]) -> list[str]:
    """A table's row: each size before and after."""
    before, after = kept["before"], kept["after"]
    sizes_mb = [megabytes(before["bytes"], after["bytes"]), megabytes(*kept["stored"].values())]
    sizes = [f"{before[name]} → {after[name]}" for name in ("files", "snapshots", "manifests")]
    more = [str(value) for value in (before["mergeable_files"], kept["expired"], kept["orphans"])]
    return [kept["table"], sizes[0], *sizes_mb, *sizes[1:], *more]


def megabytes(before: int, after: int) -> str:
    return f"{before / 1e6:.1f} → {after / 1e6:.1f}"


def audit_rows(partitions: list[Any]) -> list[tuple[Any, ...]]:
    return [
        (
            p.topic,
            p.partition,
            f"{p.kafka_first}–{p.kafka_next}",
            p.messages,
            p.waiting,
            p.missing,
            p.void,
            p.accepted_loss,
            p.repeated,
        )
        for p in partitions
    ]
