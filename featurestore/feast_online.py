"""Feast's online store behind the online port: read through Feast's own provider, written by `row_writer.py`.

Neither side needs the registry: the feature views come from the catalogue, so a reader lives without PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key_prefix
from feast.infra.provider import Provider, get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis.exceptions import RedisError

from contracts.features import AS_OF
from contracts.settings import Settings
from featurestore.definitions import FEATURE_VIEWS
from featurestore.keys import Key, Row, key_columns
from featurestore.project import project_name
from featurestore.repo import repo_config
from featurestore.row_writer import RowWriter, unavailable

SCAN_KEYS = 1_000  # asked for in one round trip


class FeastOnlineStore:
    """An OnlineStore over Feast's Redis store."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.redis
        self._project = project_name(settings).encode()
        self._read_config = repo_config(settings, settings.online_read_timeout_ms)
        self._reader: Provider = get_provider(self._read_config)  # a provider of its own: the timeout belongs to its connections
        self._writer = RowWriter(settings)
        self._redis = self._writer.redis

    @classmethod
    def open(cls, settings: Settings) -> FeastOnlineStore:
        """A store that answered. Raises DependencyUnavailable."""
        store = cls(settings)
        store._writer.ping()
        return store

    def encoded(self, view: str, rows: Sequence[Row]) -> Sequence[Row]:
        """See OnlineWriter."""
        return self._writer.encoded(view, rows)

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """See OnlineWriter."""
        self._writer.write(view, rows)

    def write_each(self, parts: Iterable[Mapping[str, Sequence[Row]]]) -> Iterator[None]:
        """See OnlineWriter."""
        return self._writer.write_each(parts)

    def read(self, view: str, keys: Sequence[Key]) -> list[dict[str, Any] | None]:
        """See OnlineStore. The bound holds for connecting and for each reply of the one round trip."""
        names = key_columns(view)
        entity_keys = [_entity_key(names, key) for key in keys]
        try:
            found = self._reader.online_read(self._read_config, FEATURE_VIEWS[view], entity_keys) if keys else []
        except RedisError as error:
            raise unavailable(self._address, f"reading {len(keys)} rows of {view}", error) from error
        return [_row(names, key, values) for key, (_, values) in zip(keys, found, strict=True)]

    def scan(self, view: str) -> Iterator[Key]:
        """See OnlineStore. Views of the same entities share Redis's hashes: the view's own timestamp field tells which it has."""
        names = key_columns(view)
        seen: set[Key] = set()  # SCAN may return a key more than once
        try:
            for batch in self._scan_batches(names):
                for redis_key in self._with_view(view, batch):
                    key = self._parse(names, redis_key)
                    if key is not None and key not in seen:
                        seen.add(key)
                        yield key
        except RedisError as error:
            raise unavailable(self._address, f"listing the keys of {view}", error) from error

    def close(self) -> None:
        """Gives the connections back."""
        self._redis.close()

    def _scan_batches(self, names: tuple[str, ...]) -> Iterator[list[bytes]]:
        pattern = _glob_escaped(serialize_entity_key_prefix(list(names))) + b"*" + self._project
        batch: list[bytes] = []
        for redis_key in self._redis.scan_iter(match=pattern, count=SCAN_KEYS):
            batch.append(redis_key)
            if len(batch) == SCAN_KEYS:
                yield batch
                batch = []
        yield batch

    def _with_view(self, view: str, redis_keys: list[bytes]) -> list[bytes]:
        with self._redis.pipeline(transaction=False) as pipe:
            for redis_key in redis_keys:
                pipe.hexists(redis_key, f"_ts:{view}")  # type: ignore[arg-type]  # typed for text keys, bytes work as well
            present = pipe.execute()
        return [redis_key for redis_key, has in zip(redis_keys, present, strict=True) if has]

    def _parse(self, names: tuple[str, ...], redis_key: bytes) -> Key | None:
        try:
            entity_key = deserialize_entity_key(redis_key[: -len(self._project)], entity_key_serialization_version=3)
        except ValueError:  # a key of another project, whose name ends like ours
            return None
        values = dict(zip(entity_key.join_keys, (value.string_val for value in entity_key.entity_values), strict=True))
        return tuple(values[name] for name in names) if set(values) == set(names) else None


def _entity_key(names: tuple[str, ...], key: Key) -> EntityKey:
    return EntityKey(join_keys=names, entity_values=[Value(string_val=part) for part in key])


def _row(names: tuple[str, ...], key: Key, values: dict[str, Value] | None) -> dict[str, Any] | None:
    if values is None or values[AS_OF].WhichOneof("val") is None:  # Feast answers a missing row with empty values
        return None
    return {**dict(zip(names, key, strict=True)), **{name: _python(value) for name, value in values.items()}}


def _python(value: Value) -> Any:
    kind = value.WhichOneof("val")
    if kind is None:
        return None
    plain = getattr(value, kind)
    return list(plain.val) if kind.endswith("list_val") else plain


def _glob_escaped(text: bytes) -> bytes:
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]\\^-" else bytes([byte]) for byte in text)
