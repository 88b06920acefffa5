"""Hand-written fakes of our ports. Each passes the contract suite that the real thing passes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from featurestore.fill import Filled, Mark, Place
from featurestore.keys import Key, Row, key_columns, key_of, value_columns


class FakeOnlineStore:
    """An OnlineStore in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Key, dict[str, Any]]] = {}

    def encoded(self, view: str, rows: Sequence[Row]) -> Sequence[Row]:  # the port's
        return rows

    def write(self, view: str, rows: Sequence[Row]) -> None:
        columns = (*key_columns(view), *value_columns(view))
        complete = [{name: row[name] for name in columns} for row in rows]
        self.rows.setdefault(view, {}).update((key_of(view, row), row) for row in complete)

    def write_each(self, parts: Iterable[Mapping[str, Sequence[Row]]]) -> Iterator[None]:
        for part in parts:
            for view, rows in part.items():
                self.write(view, rows)
            yield

    def read(self, view: str, keys: Sequence[Key]) -> list[dict[str, Any] | None]:
        found = (self.rows.get(view, {}).get(key) for key in keys)
        return [None if row is None else dict(row) for row in found]

    def scan(self, view: str) -> Iterator[Key]:
        yield from list(self.rows.get(view, {}))

    def close(self) -> None:
        """Nothing is held."""


class FakeFillMarks:
    """FillMarks in memory. `restart` is what a server does that keeps its data."""

    def __init__(self) -> None:
        self.run = 1
        self.marks: dict[Place, Mark] = {}
        self._filling: dict[Place, str] = {}
        self._tokens = itertools.count()

    def read(self) -> Filled:
        return Filled(f"run-{self.run}", dict(self.marks))

    def begin(self, place: Place) -> str:
        self.marks.pop(place, None)
        self._filling[place] = f"run-{self.run}:{next(self._tokens)}"
        return self._filling[place]

    def finish(self, place: Place, token: str, rows: int) -> bool:
        if self._filling.get(place) != token or token.split(":")[0] != f"run-{self.run}":
            return False
        self.marks[place] = Mark(f"run-{self.run}", rows)
        del self._filling[place]
        return True

    def clear(self) -> None:
        self.marks.clear()
        self._filling.clear()

    def restart(self) -> None:
        self.run += 1
