"""Hand-written fakes of our ports. Each passes the contract suite that the real thing passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from featurestore.online import Key, Row, key_columns, key_of, value_columns


class FakeOnlineStore:
    """An OnlineStore in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, dict[str, Any]]] = {}

    def write(self, view: str, rows: Sequence[Row]) -> None:
        columns = (*key_columns(view), *value_columns(view))
        complete = [{name: row[name] for name in columns} for row in rows]
        self.rows.setdefault(view, {}).update((key_of(view, row), row) for row in complete)

    def read(self, view: str, keys: Sequence[Key]) -> list[dict[str, Any] | None]:
        found = (self.rows.get(view, {}).get(key) for key in keys)
        return [None if row is None else dict(row) for row in found]

    def scan(self, view: str) -> Iterator[Key]:
        yield from list(self.rows.get(view, {}))

    def close(self) -> None:
        """Nothing is held."""
