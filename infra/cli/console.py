"""What commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any


def note(text: str) -> None:
    """One line about what happens, to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def result(text: str) -> None:
    """One line of the result, to stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def json_result(value: Any) -> None:
    """The result as one JSON document, to stdout."""
    result(json.dumps(value, indent=2, default=str))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """The result as aligned columns, to stdout; the last column takes the rest of the line."""
    lines = [list(columns), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths[:-1], strict=True)]
        result("  ".join([*cells, line[-1]]).rstrip())
