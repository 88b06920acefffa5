"""Feast's Redis store with the values of a row in one field: `feast.types.RepeatedValue`, in the order of the view's columns.

Feast keeps a field for every value. Some forty of them for each row are most of what an online store takes of its server, in time
and in memory, and all are read and written together. To Feast's own store each view has one feature here.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Container, Sequence
from typing import Any, Literal, NamedTuple

from feast import FeatureView, Field, RepoConfig
from feast.infra.online_stores.helpers import _mmh3
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import RepeatedValue, Value
from feast.types import Bytes

from contracts.features import FINGERPRINT, METADATA
from featurestore.redis_format import ROW

Data = list[tuple[EntityKey, dict[str, Value], dt.datetime, dt.datetime | None]]
Progress = Callable[[int], Any] | None
Read = tuple[dt.datetime | None, dict[str, Value] | None]
_NONE = Value()


class RowOnlineStoreConfig(RedisOnlineStoreConfig):
    """As Feast's for Redis."""

    type: Literal["featurestore.row_store.RowOnlineStore"] = "featurestore.row_store.RowOnlineStore"  # type: ignore[assignment]  # the parent's is "redis"


class _Columns(NamedTuple):
    """The columns of a view: where each value stands, and the catalogue under which they do."""

    places: dict[str, int]
    fingerprint: str


class RowOnlineStore(RedisOnlineStore):
    """The views of a catalogue, each row's values in one field."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: dict[str, _Columns] = {}

    def online_write_batch(self, config: RepoConfig, table: FeatureView, data: Data, progress: Progress) -> None:
        """As Feast's. Raises KeyError where a row lacks a column."""
        super().online_write_batch(config, table, _packed(table, data), progress)

    async def online_write_batch_async(self, config: RepoConfig, table: FeatureView, data: Data, progress: Progress) -> None:
        """As Feast's. Raises KeyError where a row lacks a column."""
        await super().online_write_batch_async(config, table, _packed(table, data), progress)

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """As Feast's."""
        stored = copy.copy(table)
        stored.features = [Field(name=ROW, dtype=Bytes)]
        super().delete_table(config, stored)

    def _generate_hset_keys_for_features(
        self, feature_view: FeatureView, requested_features: list[str] | None = None, fv_name_override: str | None = None
    ) -> tuple[list[str], list[str | bytes]]:
        name = fv_name_override or feature_view.name
        columns, fingerprint = self._columns.get(name), feature_view.tags["fingerprint"]
        if columns is None or columns.fingerprint != fingerprint:  # a registry may come to have another catalogue
            places = {column: at for at, column in enumerate(_names(feature_view))}
            self._columns[name] = _Columns(places, fingerprint)
        requested, keys = super()._generate_hset_keys_for_features(feature_view, requested_features, fv_name_override)
        return requested, [_mmh3(f"{name}:{ROW}"), keys[-1]]  # the last one is the event time's

    def _get_features_for_entity(self, values: Sequence[Any], feature_view: str, requested_features: list[str]) -> Read:
        row, event_time = values
        *names, at = requested_features
        columns, found = self._columns[feature_view], RepeatedValue.FromString(row or b"").val
        known: Container[str] = ()
        if found:  # what stands where in a row of another catalogue is not known, but for what every row begins with
            known = columns.places if found[columns.places[FINGERPRINT]].string_val == columns.fingerprint else METADATA
        read: Read = super()._get_features_for_entity([b"", event_time], feature_view, [ROW, at])
        return read[0], {name: found[columns.places[name]] if name in known else _NONE for name in names}


def _packed(table: FeatureView, data: Data) -> Data:
    names = _names(table)
    return [
        (key, {ROW: RepeatedValue(val=[values[name] for name in names])}, event_time, created)
        for key, values, event_time, created in data
    ]


def _names(table: FeatureView) -> list[str]:
    return [feature.name for feature in table.features]
