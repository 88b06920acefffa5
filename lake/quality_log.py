"""What the rules found, in PostgreSQL: one row per check × rule."""

from __future__ import annotations

import json
from collections.abc import Sequence

from contracts import tables
from contracts.clock import EpochMs
from contracts.settings import Settings
from lake.database import connect, ensure_table
from lake.quality_check import Finding

BEFORE, PUBLISHED = "before publication", "published"
_TABLE = f"""
    CREATE TABLE IF NOT EXISTS {tables.MART_QUALITY} (
        checked_at timestamptz NOT NULL, checked text NOT NULL, rule text NOT NULL, table_name text NOT NULL,
        severity text NOT NULL, state text NOT NULL, faults bigint NOT NULL, months jsonb NOT NULL, examples jsonb NOT NULL,
        PRIMARY KEY (checked_at, checked, rule))
"""


def record(settings: Settings, checked: str, at: EpochMs, findings: Sequence[Finding]) -> None:
    """Adds one check's findings to the log; `checked` says which rows were: BEFORE publication, or PUBLISHED."""
    rows = [
        (
            at,
            checked,
            f["rule"],
            f["table"],
            f["severity"],
            f["state"],
            f["faults"],
            *map(json.dumps, (f["months"], f["examples"])),
        )
        for f in (finding.as_dict() for finding in findings)
    ]
    with connect(settings, tables.POSTGRES_DATABASE, doing="recording a check of quality") as connection:
        ensure_table(connection, tables.MART_QUALITY, _TABLE)
        with connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {tables.MART_QUALITY} VALUES (to_timestamp(%s / 1000.0), %s, %s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                rows,
            )
