"""The writing half of the online port: rows in Feast's format, by our own encoder, in few calls of the system.

Feast's writer is what would bound the stream: it makes an object of every value. Nothing here needs Feast, which takes seconds to
import, so that a process that only writes starts without it.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from featurestore.keys import Row
from featurestore.project import project_name
from featurestore.redis_format import RowFormat
from featurestore.row_block import BlockLayout, RowBlock

if TYPE_CHECKING:
    from featurestore.block_format import BlockFormat

CHUNK = (
    1_000  # rows sent in one go, a megabyte: each takes the interpreter's lock some times, which a busy process is long in giving
)
CHUNKS_AHEAD = 4  # sent before the replies to the first are read: the server has work meanwhile
WRITE_TIMEOUT_MS = 10_000  # a chunk of rows, while Redis may be saving a snapshot
Chunk = tuple[int, bytes | memoryview]  # how many commands, and these


class _Encoded(RowBlock):
    """A block with its calls."""

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
        return _Encoded(rows, self._calls(view, rows)) if isinstance(rows, RowBlock) else rows

    def write(self, view: str, rows: Sequence[Row]) -> None:
        """See OnlineWriter. A value of another type than the catalogue's raises TypeError or ValueError, before its chunk."""
        calls = self._calls(view, rows) if isinstance(rows, RowBlock) else ()
        try:
            with self._connection() as connection:
                if isinstance(rows, RowBlock):
                    self._replace(connection, rows, calls)
                else:
                    _set(connection, _chunks_of_rows(_row_format(view, self._project), rows))
        except RedisError as error:
            raise unavailable(self._address, f"writing {len(rows)} rows of {view}", error) from error

    def _calls(self, view: str, block: RowBlock) -> Iterable[Chunk]:
        if block.layout.view != view:
            raise ValueError(f"rows of {block.layout.view}, not of {view}")
        if isinstance(block, _Encoded):
            return block.chunks
        made = _block_format(block.layout, self._project)
        return _chunks(block, made.call_rows, made.calls)

    def _replace(self, connection: Any, block: RowBlock, calls: Iterable[Chunk]) -> None:
        """Replaces whole hashes; by fields those that have more than the row of this view, or that the server does not let us."""
        made = _block_format(block.layout, self._project)
        replies = _send(connection, calls)
        refused = [block.keys[at] for at in _refused(replies, made.call_rows, len(block))]
        if refused:
            _set(connection, _chunks(block.latest(refused), 1, made.commands))

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


def _set(connection: Any, chunks: Iterable[Chunk]) -> None:
    """Sends commands of which none may fail. Raises RedisError for one that did."""
    failed = next((reply for reply in _send(connection, chunks) if isinstance(reply, Exception)), None)
    if failed is not None:
        raise failed


def _refused(replies: Iterable[Any], call_rows: int, rows: int) -> Iterator[int]:
    """The rows that calls have refused, counted from 0: of one that failed, all."""
    for number, reply in enumerate(replies):
        first = number * call_rows
        if isinstance(reply, ResponseError):
            yield from range(first, min(first + call_rows, rows))
        elif isinstance(reply, Exception):
            raise reply
        else:
            yield from (first + place - 1 for place in reply)


def _send(connection: Any, chunks: Iterable[Chunk]) -> list[Any]:
    """The replies to the commands of chunks, an error too. Raises RedisError where there is none."""
    unread: deque[int] = deque()
    replies: list[Any] = []
    for count, commands in chunks:
        connection.send_packed_command([commands])  # one call of the system: each gives up the interpreter's lock
        unread.append(count)
        if len(unread) > CHUNKS_AHEAD:
            _read_replies(connection, unread.popleft(), replies)
    for count in unread:
        _read_replies(connection, count, replies)
    return replies


def _read_replies(connection: Any, count: int, replies: list[Any]) -> None:
    """Adds so many replies.

    Straight from the parser's reader, private as it is: redis-py's own call does more for each than hiredis takes to read it.
    """
    parser = connection._parser
    next_reply = parser._reader.gets
    for _ in range(count):
        while (reply := next_reply(False)) is NOT_ENOUGH_DATA:
            parser.read_from_socket()
        replies.append(reply)


def _chunks_of_rows(row_format: RowFormat, rows: Sequence[Row]) -> Iterator[Chunk]:
    for start in range(0, len(rows), CHUNK):
        commands = [row_format.command(row) for row in rows[start : start + CHUNK]]
        yield len(commands), b"".join(commands)


def _chunks(block: RowBlock, rows_a_command: int, encoded: Callable[[RowBlock], memoryview]) -> Iterator[Chunk]:
    for start in range(0, len(block), CHUNK):
        chunk = block[start : start + CHUNK]
        yield -(-len(chunk) // rows_a_command), encoded(chunk)


@functools.cache
def _row_format(view: str, project: bytes) -> RowFormat:
    return RowFormat(view, project)


@functools.cache
def _block_format(layout: BlockLayout, project: bytes) -> BlockFormat:
    from featurestore.block_format import BlockFormat  # the compiler takes half a second to import: not for who writes no blocks

    return BlockFormat(layout, project)
