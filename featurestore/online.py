"""The online port: the latest row of each key of a view.

Readers and writers depend on `OnlineStore`; `open_online_store` gives the one that Feast keeps in Redis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from contracts.settings import Settings
from featurestore.keys import Key, Row


class OnlineWriter(Protocol):
    """Where the latest rows go. A write replaces the whole row, whatever its time: each key has one writer."""

    def encoded(self, view: str, rows: Sequence[Row]) -> Sequence[Row]:
        """The same rows, for one write, with all of it done that can be done before their turn comes."""
        ...

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """Replaces the rows of their keys; the last one of a key wins. A row without one of the view's columns is a KeyError.

        Raises DependencyUnavailable when the store does not answer; then any part of the rows may have been written.
        """
        ...

    def write_each(self, parts: Iterable[Mapping[str, Sequence[Row]]]) -> Iterator[None]:
        """Writes parts, rows by view, one after another as `write` does, and yields as each of them is written.

        The next ones may be asked for, and be on their way, before. Raises as `write`: of the parts that have not ended, any
        rows may have been written.
        """
        ...

    def close(self) -> None:
        """Gives the connections back."""
        ...


class OnlineStore(OnlineWriter, Protocol):
    """The latest row per view and key."""

    def read(self, view: str, keys: Sequence[Key]) -> list[dict[str, Any] | None]:
        """The rows of `keys`, in their order; None where there is none.

        Raises DependencyUnavailable when the store does not answer within `settings.online_read_timeout_ms`.
        """
        ...

    def scan(self, view: str) -> Iterator[Key]:
        """Every key that has a row, each once, in no order. Keys written meanwhile may be missed."""
        ...


def open_online_store(settings: Settings) -> OnlineStore:
    """Feast's online store in Redis or Valkey. Raises DependencyUnavailable when it does not answer."""
    from featurestore.feast_online import FeastOnlineStore  # Feast takes seconds to import

    return FeastOnlineStore.open(settings)


def open_online_writer(settings: Settings) -> OnlineWriter:
    """The writing half of the same store, without Feast. Raises DependencyUnavailable when it does not answer."""
    from featurestore.row_writer import RowWriter  # the client takes a while to import

    return RowWriter.open(settings)
