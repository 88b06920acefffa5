"""What commands write: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any

_REWRITE = "\r\x1b[2K"  # back to the line's start, and what is on it away
_turn = threading.Lock()
_status_shown = False


def note(text: str) -> None:
    """One line about what happens, to stderr."""
    with _turn:
        _remove_status()
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def result(text: str) -> None:
    """One line of the result, to stdout."""
    with _turn:
        _remove_status()
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def status(text: str) -> None:
    """Text that stays on the terminal's last line until the next status, note or result; empty: none. Any thread may call it."""
    global _status_shown
    with _turn:
        _remove_status()
        if text:
            sys.stderr.write(text)
            sys.stderr.flush()
            _status_shown = True


def _remove_status() -> None:
    global _status_shown
    if _status_shown:
        sys.stderr.write(_REWRITE)
        sys.stderr.flush()
        _status_shown = False


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
