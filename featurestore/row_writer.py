"""The writing half of the online port: rows in Feast's format, by our own encoder, in few calls of the system.

Feast's writer is what would bound the stream: it makes an object of every value. Nothing here needs Feast, which takes seconds to
import, so that a process that only writes starts without it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from featurestore.keys import Row
from featurestore.project import project_name
from featurestore.redis_format import RowFormat

CHUNK = 250  # rows sent in one go: a round trip is spread thin, and neither side holds much at once
WRITE_TIMEOUT_MS = 10_000  # a chunk of rows, while Redis may be saving a snapshot


class RowWriter:
    """An OnlineWriter into Redis or Valkey, whose client is `redis`."""

    def __init__(self, settings: Settings) -> None:
        self._address = settings.redis
        self._project = project_name(settings).encode()
        host, port = settings.redis.rsplit(":", 1)
        self.redis = Redis(
            host=host,
            port=int(port),
            socket_timeout=WRITE_TIMEOUT_MS / 1000,
            socket_connect_timeout=5,
            # once, for a connection that went stale; redis-py's own default sleeps for seconds in between, unseen and unended
            retry=Retry(NoBackoff(), 1),
        )

    @classmethod
    def open(cls, settings: Settings) -> RowWriter:
        """A writer whose server answered. Raises DependencyUnavailable."""
        writer = cls(settings)
        writer.ping()
        return writer

    def ping(self) -> None:
        """Raises DependencyUnavailable where the server does not answer."""
        try:
            self.redis.ping()
        except RedisError as error:
            raise unavailable(self._address, "opening the online store", error) from error

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """See OnlineWriter. A value of another type than the catalogue's raises TypeError or ValueError, before its chunk."""
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
            raise unavailable(self._address, f"writing {len(rows)} rows of {view}", error) from error

    def close(self) -> None:
        """Gives the connections back."""
        self.redis.close()

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection of the pool. One whose user fails is closed: replies may still be on their way."""
        pool = self.redis.connection_pool
        connection: Any = pool.get_connection()
        try:
            yield connection
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)


def unavailable(address: str, doing: str, error: Exception) -> DependencyUnavailable:
    """What the online store did not do, as our error."""
    return DependencyUnavailable(f"The online store at {address} does not answer", doing=doing, why=str(error))


def _read_replies(connection: Any, count: int) -> None:
    """Raises RedisError for a reply that is an error."""
    for _ in range(count):
        connection.read_response()


@functools.cache
def _row_format(view: str, project: bytes) -> RowFormat:
    return RowFormat(view, project)
