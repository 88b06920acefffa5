"""The writing half of the online port: rows by our own encoder, in few calls of the system.

Feast's writer is what would bound the stream: it makes an object of every value. Nothing here needs Feast, which takes seconds to
import, so that a process that only writes starts without it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from featurestore.keys import Row
from featurestore.project import project_name
from featurestore.redis_format import RowFormat
from featurestore.row_block import BlockLayout, RowBlock
from featurestore.row_sender import Chunk, Commands, Part, Sender

if TYPE_CHECKING:
    from featurestore.block_format import BlockFormat

# Rows sent in one go, half a megabyte: each asks for the interpreter's lock some times, which a busy process is long in giving.
CHUNK = 1_000
WRITE_TIMEOUT_MS = 10_000  # a chunk of rows, while Redis may be saving a snapshot


class _Encoded(RowBlock):
    """A block with its commands."""

    __slots__ = ("chunks",)

    def __init__(self, block: RowBlock, chunks: Iterable[Chunk]) -> None:
        super().__init__(block.layout, block.keys, block.whole, block.doubles)
        self.chunks = list(chunks)


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

    def encoded(self, view: str, rows: Sequence[Row]) -> Sequence[Row]:
        """See OnlineWriter. Rows that are no block are encoded as they are written."""
        return _Encoded(rows, self._chunks(view, rows)) if isinstance(rows, RowBlock) else rows

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """See OnlineWriter. A value of another type than the catalogue's raises TypeError or ValueError, before its chunk."""
        for _ in self._sent([self._part({view: rows})], f"writing {len(rows)} rows of {view}"):
            pass

    def write_each(self, parts: Iterable[Mapping[str, Sequence[Row]]]) -> Iterator[None]:
        """See OnlineWriter."""
        return self._sent(map(self._part, parts), "writing rows")

    def _sent(self, parts: Iterable[Part], doing: str) -> Iterator[None]:
        try:
            with self._connection() as connection:
                yield from Sender(connection).send(parts)
        except RedisError as error:
            raise unavailable(self._address, doing, error) from error

    def _part(self, part: Mapping[str, Sequence[Row]]) -> Part:
        return [self._commands(view, rows) for view, rows in part.items()]

    def _commands(self, view: str, rows: Sequence[Row]) -> Commands:
        if isinstance(rows, RowBlock):
            return Commands(self._chunks(view, rows))
        return Commands(_chunks_of_rows(_row_format(view, self._project), rows))

    def _chunks(self, view: str, block: RowBlock) -> Iterable[Chunk]:
        if block.layout.view != view:
            raise ValueError(f"rows of {block.layout.view}, not of {view}")
        if isinstance(block, _Encoded):
            return block.chunks
        return _chunks_of_block(_block_format(block.layout, self._project), block)

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


def _chunks_of_rows(row_format: RowFormat, rows: Sequence[Row]) -> Iterator[Chunk]:
    for start in range(0, len(rows), CHUNK):
        commands = [row_format.command(row) for row in rows[start : start + CHUNK]]
        yield len(commands), b"".join(commands)


def _chunks_of_block(block_format: BlockFormat, block: RowBlock) -> Iterator[Chunk]:
    for start in range(0, len(block), CHUNK):
        chunk = block[start : start + CHUNK]
        yield len(chunk), block_format.commands(chunk)


@functools.cache
def _row_format(view: str, project: bytes) -> RowFormat:
    return RowFormat(view, project)


@functools.cache
def _block_format(layout: BlockLayout, project: bytes) -> BlockFormat:
    from featurestore.block_format import BlockFormat  # the compiler takes half a second to import: not for who writes no blocks

    return BlockFormat(layout, project)
