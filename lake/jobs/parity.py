"""Job: what the online store holds against what the lake recomputes as of the same instants, into PostgreSQL."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

from pyspark.sql import SparkSession

from contracts import tables
from contracts.clock import Clock, system_clock
from contracts.errors import DataGateError, DependencyUnavailable
from contracts.features import VIEWS
from contracts.settings import Settings
from featurestore.online import OnlineStore
from lake import parity_log, progress, recompute, schemas, steps, stream_position
from lake.database import JobIsRunning
from lake.jobs import bronze, silver
from lake.parity import Key, ParityReport, Row, Sample, compare
from lake.session import spark_errors

CHUNK = 1000  # rows a read, so that each stays within the online store's time limit


def run(
    session: SparkSession,
    settings: Settings,
    online: OnlineStore,
    views: Sequence[str] = tuple(VIEWS),
    *,
    share: float = 1.0,
    salt: str | None = None,
    threshold: float = 0.0,
    clock: Clock = system_clock,
) -> ParityReport:
    """Compares, records and reports. `gate` says whether it held.

    A `share` of the keys is looked at; without a `salt` the run's id is one, so that each run looks at others.
    The worker's commits are asked before the online rows are read, and the lake takes in the topics after that: a row then holds
    at least what was committed, and the lake at least what any row holds.
    """
    started, run_id = clock(), uuid.uuid4().hex
    sample = Sample(share, run_id if salt is None else salt)
    committed = stream_position.committed(settings)
    rows = {view: online_rows(online, view, sample) for view in views}
    late = {view: stream_position.late_events(settings, recompute.TOPIC_OF[view]) for view in views if view in recompute.TOPIC_OF}
    take_in(session, settings, committed)
    found = []
    with spark_errors("recomputing features"):
        required = recompute.required_by_stream(session, settings, list(late), committed, late)
        for view in views:
            steps.begin(session, f"{view} recomputed")
            if view in late:
                asked = recompute.fences(view, rows[view], committed, settings)
                lake = recompute.streaming(session, settings, view, asked, late[view])
            else:
                lake, required[view] = recompute.batch(session, VIEWS[view], rows[view])
            found.append(compare(view, rows[view], lake, {key for key in required[view] if sample.has(key)}))
    ended = clock()
    report = ParityReport(run_id, ended, (ended - started) / 1000, sample, threshold, tuple(found))
    parity_log.record(settings, report)
    return report


def gate(report: ParityReport, asked_for: Sequence[str] = ()) -> None:
    """Raises DataGateError where a feature differs beyond the threshold, or where nothing was compared, in all or of a view that
    was asked for.
    """
    if report.worst and not report.holds:
        counts = [
            f"{view.view}: {sum(view.mismatches.values())} mismatches, {view.missing} missing, {view.extra} extra"
            for view in report.views
            if not view.equal
        ]
        raise DataGateError(
            "The online features are not what the lake recomputes",
            doing="checking parity",
            why=f"{report.worst}, the threshold is {report.threshold:.4%}; " + "; ".join(counts),
            hint=f"The first rows of each feature: SELECT * FROM {tables.MART_PARITY_EXAMPLE} WHERE run_id = '{report.run_id}'",
        )
    empty = [view.view for view in report.views if view.view in asked_for and not view.compared]
    if empty or not report.compared:
        raise DataGateError(
            f"Parity compared nothing of {', '.join(empty) or 'any view'}",
            doing="checking parity",
            why="neither the online store nor the lake has rows of it",
            hint="`./rd360 produce` makes events; the stream worker and `./rd360 features materialize` make online rows.",
        )


def online_rows(online: OnlineStore, view: str, sample: Sample) -> dict[Key, Row]:
    """The online rows of the keys in the sample."""
    keys = [key for key in online.scan(view) if sample.has(key)]
    rows: dict[Key, Row] = {}
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        rows |= {key: row for key, row in zip(chunk, online.read(view, chunk), strict=True) if row is not None}
    return rows


def take_in(session: SparkSession, settings: Settings, committed: recompute.Committed) -> None:
    """Brings what Kafka has to silver. Raises DependencyUnavailable where silver then lacks events that the worker has."""
    schemas.create_if_missing(session, schemas.FEATURE_TABLES.values())
    with suppress(JobIsRunning):  # a continuous bronze job takes them in itself
        bronze.run(session, settings, lock_seconds=1)
    silver.run(session, settings)
    seen = progress.read(session, schemas.SILVER_PROGRESS)
    names = {topic.kind: topic.name(settings.topic_prefix) for topic in recompute.TOPIC_OF.values()}
    behind = [place for place, following in committed.items() if seen.get((names[place[0]], place[1]), 0) < following]
    if behind:
        raise DependencyUnavailable(
            "The lake has not yet taken in what the stream worker has",
            doing="checking parity",
            why=f"silver is behind in {', '.join(f'{kind}[{number}]' for kind, number in behind)}",
            hint="Where a continuous `rd360 lake bronze` runs, wait for its next batch and check again.",
        )
