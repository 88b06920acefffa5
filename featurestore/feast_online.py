"""Feast's online store behind the online port: read through Feast's own provider, written in Feast's format by ourselves.

Feast's writer is what would bound the stream: it makes an object of every value. Neither side needs the registry: the feature
views come from the catalogue, so a reader lives without PostgreSQL.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key_prefix
from feast.infra.provider import Provider, get_provider
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from contracts.errors import DependencyUnavailable
from contracts.features import AS_OF
from contracts.settings import Settings
from featurestore.definitions import FEATURE_VIEWS
from featurestore.online import Key, Row, key_columns
from featurestore.redis_format import RowFormat
from featurestore.repo import WRITE_TIMEOUT_MS, project_name, repo_config

CHUNK = 250  # rows sent in one go: a round trip is spread thin, and neither side holds much at once


class FeastOnlineStore:
    """An OnlineStore over Feast's Redis store."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.redis
        self._project = project_name(settings).encode()
        self._read_config = repo_config(settings, settings.online_read_timeout_ms)
        self._reader: Provider = get_provider(self._read_config)  # a provider of its own: the timeout belongs to its connections
        host, port = settings.redis.rsplit(":", 1)
        self._redis = Redis(
            host=host,
            port=int(port),
            socket_timeout=WRITE_TIMEOUT_MS / 1000,
            socket_connect_timeout=5,
            # once, for a connection that went stale; redis-py's own default sleeps for seconds in between, unseen and unended
            retry=Retry(NoBackoff(), 1),
        )

    @classmethod
    def open(cls, settings: Settings) -> FeastOnlineStore:
        """A store that answered. Raises DependencyUnavailable."""
        store = cls(settings)
        try:
            store._redis.ping()
        except RedisError as error:
            raise store._unavailable("opening the online store", error) from error
        return store

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """See OnlineStore. A value of another type than the catalogue's raises TypeError or ValueError, before its chunk."""
        row_format = _row_format(view, self._project)
        try:
            with self._connection() as connection:
                sent = 0
                for start in range(0, len(rows), CHUNK):
                    commands = [row_format.command(row) for row in rows[start : start + CHUNK]]
                    # in one call of the system: each gives up the interpreter's lock
                    connection.send_packed_command([b"".join(commands)])
                    _read_replies(connection, sent)  # of the chunk before: the server works at one while the next is encoded
                    sent = len(commands)
                _read_replies(connection, sent)
        except RedisError as error:
            raise self._unavailable(f"writing {len(rows)} rows of {view}", error) from error

    def read(self, view: str, keys: Sequence[Key]) -> list[dict[str, Any] | None]:
        """See OnlineStore. The bound holds for connecting and for each reply of the one round trip."""
        names = key_columns(view)
        entity_keys = [_entity_key(names, key) for key in keys]
        try:
            found = self._reader.online_read(self._read_config, FEATURE_VIEWS[view], entity_keys) if keys else []
        except RedisError as error:
            raise self._unavailable(f"reading {len(keys)} rows of {view}", error) from error
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
            raise self._unavailable(f"listing the keys of {view}", error) from error

    def close(self) -> None:
        """Gives the connections back."""
        self._redis.close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection of the pool. One whose user fails is closed: replies may still be on their way."""
        pool = self._redis.connection_pool
        connection: Any = pool.get_connection()
        try:
            yield connection
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    def _scan_batches(self, names: tuple[str, ...]) -> Iterator[list[bytes]]:
        pattern = _glob_escaped(serialize_entity_key_prefix(list(names))) + b"*" + self._project
        batch: list[bytes] = []
        for redis_key in self._redis.scan_iter(match=pattern, count=CHUNK):
            batch.append(redis_key)
            if len(batch) == CHUNK:
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

    def _unavailable(self, doing: str, error: Exception) -> DependencyUnavailable:
        return DependencyUnavailable(f"The online store at {self._address} does not answer", doing=doing, why=str(error))


def _read_replies(connection: Any, count: int) -> None:
    """Raises RedisError for a reply that is an error."""
    for _ in range(count):
        connection.read_response()


@functools.cache
def _row_format(view: str, project: bytes) -> RowFormat:
    return RowFormat(view, project)


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
