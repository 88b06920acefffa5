"""What a row of a view is called by and made of: its key, and its columns by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from contracts.features import ENTITY_KEYS, METADATA, VIEWS, features_of

Key = tuple[str, ...]  # entity values, in the order of the view's entities
Row = Mapping[str, Any]  # the view's entity keys, METADATA and features by name


def key_columns(view: str) -> tuple[str, ...]:
    """The names of a view's key columns, in the order of a Key."""
    return tuple(ENTITY_KEYS[entity] for entity in VIEWS[view].entities)


def value_columns(view: str) -> tuple[str, ...]:
    """The names of a view's columns beside its keys: METADATA, then features in catalogue order."""
    return (*METADATA, *(feature.name for feature in features_of(view)))


def key_of(view: str, row: Row) -> Key:
    """The key of a row."""
    return tuple(row[column] for column in key_columns(view))
