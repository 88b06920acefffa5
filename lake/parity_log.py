"""Parity runs in PostgreSQL: how each was taken and judged, what it counted by feature, and its examples."""

from __future__ import annotations

import json
from typing import Any

from contracts import tables
from contracts.features import ENTITY_KEYS, VIEWS
from contracts.settings import Settings
from lake.database import connect, ensure_table
from lake.parity import Example, ParityReport

_TABLES = {
    tables.MART_PARITY: """
        run_id text NOT NULL, checked_at timestamptz NOT NULL, view text NOT NULL, feature text NOT NULL,
        compared bigint NOT NULL, mismatches bigint NOT NULL, missing bigint NOT NULL, extra bigint NOT NULL,
        PRIMARY KEY (run_id, view, feature)""",
    tables.MART_PARITY_RUN: """
        run_id text PRIMARY KEY, checked_at timestamptz NOT NULL, sample double precision NOT NULL, salt text NOT NULL,
        threshold double precision NOT NULL, within_threshold boolean NOT NULL, worst_view text, worst_feature text,
        worst_share double precision NOT NULL""",
    tables.MART_PARITY_EXAMPLE: """
        run_id text NOT NULL, view text NOT NULL, feature text NOT NULL, kind text NOT NULL, entity_key jsonb NOT NULL,
        as_of timestamptz, source_offset bigint, served text, recomputed text,
        PRIMARY KEY (run_id, view, feature, entity_key)""",
}


def record(settings: Settings, report: ParityReport) -> None:
    """Adds a run in one transaction: its row, one per view × feature, one per example."""
    run_id, at, worst = report.run_id, report.checked_at, report.worst
    judged = (report.sample.share, report.sample.salt, report.threshold, report.holds)
    run = (run_id, at, *judged, *((worst.view, worst.feature, worst.share) if worst else (None, None, 0.0)))
    counts = [
        (run_id, at, view.view, feature, view.compared, mismatches, view.missing, view.extra)
        for view in report.views
        for feature, mismatches in view.mismatches.items()
    ]
    examples = [(run_id, view.view, *_columns(view.view, example)) for view in report.views for example in view.examples]
    with connect(settings, tables.POSTGRES_DATABASE, doing="recording a parity run") as connection:
        for name, columns in _TABLES.items():
            ensure_table(connection, name, f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        with connection.cursor() as cursor:
            instant = "to_timestamp(%s / 1000.0)"
            cursor.execute(f"INSERT INTO {tables.MART_PARITY_RUN} VALUES (%s, {instant}, %s, %s, %s, %s, %s, %s, %s)", run)
            cursor.executemany(f"INSERT INTO {tables.MART_PARITY} VALUES (%s, {instant}, %s, %s, %s, %s, %s, %s)", counts)
            cursor.executemany(
                f"INSERT INTO {tables.MART_PARITY_EXAMPLE} VALUES (%s, %s, %s, %s, %s, {instant}, %s, %s, %s)", examples
            )


def _columns(view: str, example: Example) -> tuple[Any, ...]:
    """An example's columns after run and view. Values are JSON text, which has a NaN as no column of JSON has."""
    names = [ENTITY_KEYS[entity] for entity in VIEWS[view].entities]
    key = json.dumps(dict(zip(names, example.key, strict=True)))
    values = (json.dumps(example.online), json.dumps(example.lake)) if example.feature else (None, None)
    return (example.feature, example.kind, key, example.as_of_ms, example.source_offset, *values)
