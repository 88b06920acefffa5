"""The online port: the latest row of each key of a view.

A row is a mapping of the view's entity keys, METADATA and features by name. Readers and writers depend on `OnlineStore`;
`open_online_store` gives the one that Feast keeps in Redis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from contracts.features import ENTITY_KEYS, METADATA, VIEWS, features_of
from contracts.settings import Settings

Key = tuple[str, ...]  # entity values, in the order of the view's entities
Row = Mapping[str, Any]


class OnlineWriter(Protocol):
    """Where the latest rows go. A write replaces the whole row, whatever its time: each key has one writer."""

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """Replaces the rows of their keys; the last one of a key wins. A row without one of the view's columns is a KeyError.

        Raises DependencyUnavailable when the store does not answer; then any part of the rows may have been written.
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
    from featurestore.row_writer import RowWriter  # reads this module

    return RowWriter.open(settings)


def key_columns(view: str) -> tuple[str, ...]:
    """The names of a view's key columns, in the order of a Key."""
    return tuple(ENTITY_KEYS[entity] for entity in VIEWS[view].entities)


def value_columns(view: str) -> tuple[str, ...]:
    """The names of a view's columns beside its keys: METADATA, then features in catalogue order."""
    return (*METADATA, *(feature.name for feature in features_of(view)))


def key_of(view: str, row: Row) -> Key:
    """The key of a row."""
    return tuple(row[column] for column in key_columns(view))
