"""Rows on their way to Redis on one connection: chunk after chunk, some ahead of their replies, and from one part to the next.

The server always has work so, however long the sending process takes to come to its replies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis._parsers.hiredis import NOT_ENOUGH_DATA

CHUNKS_AHEAD = 4  # sent before the replies to the first are read
Chunk = tuple[int, bytes | memoryview]  # how many commands, and these


@dataclass(slots=True)
class Commands:
    """The rows of one view as commands, none of which may fail."""

    chunks: Iterable[Chunk]
    failed: Exception | None = None  # the first error among the replies


Part = Sequence[Commands]  # what ends together


class Sender:
    """Sends parts one after another on a connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._parts: deque[Part] = deque()  # those that have not ended, the oldest first
        self._unread: deque[tuple[Commands, int]] = deque()  # chunks without their replies

    def send(self, parts: Iterable[Part]) -> Iterator[None]:
        """Yields as each part ends: all its rows are written. Raises RedisError; what was sent may be written or not then."""
        for part in parts:
            self._parts.append(part)
            for commands in part:
                for count, raw in commands.chunks:
                    self._send(commands, count, raw)
                    while len(self._unread) > CHUNKS_AHEAD:
                        self._read()
                        yield from self._ended()
        while self._parts:
            while self._is_under_way(self._parts[0]):
                self._read()
            yield from self._ended(all_sent=True)

    def _ended(self, *, all_sent: bool = False) -> Iterator[None]:
        """Ends the oldest parts whose replies have come; the last one may not be sent to its end."""
        while len(self._parts) > (not all_sent) and not self._is_under_way(self._parts[0]):
            for commands in self._parts.popleft():
                if commands.failed is not None:
                    raise commands.failed
            yield

    def _is_under_way(self, part: Part) -> bool:
        return bool(self._unread) and any(commands is self._unread[0][0] for commands in part)

    def _send(self, commands: Commands, count: int, raw: bytes | memoryview) -> None:
        self._connection.send_packed_command([raw])  # one call of the system: each gives up the interpreter's lock
        self._unread.append((commands, count))

    def _read(self) -> None:
        """Reads the replies to the oldest chunk.

        Straight from the parser's reader, private as it is: redis-py's own call does more for each than hiredis takes to read it.
        """
        commands, count = self._unread.popleft()
        parser = self._connection._parser
        next_reply = parser._reader.gets
        for _ in range(count):
            while (reply := next_reply(False)) is NOT_ENOUGH_DATA:
                parser.read_from_socket()
            if isinstance(reply, Exception) and commands.failed is None:
                commands.failed = reply
