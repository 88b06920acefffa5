"""Items that are written one after another, in the order in which they came, by a thread beside the event loop.

The thread goes from one to the next by itself. Where the loop had to be asked between two, a server that has nothing else to do
would stand still until the loop, busy with messages, comes to it.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from streams.patience import GivenUp

Item = TypeVar("Item")
Try = Callable[[], Awaitable[None]]


class Line(Generic[Item]):
    """Items of one kind. `write_each` takes them as they come and yields as each is written; `patiently` tries that again where
    it may. Then those that had begun and not ended go `together` first, as one item: the last of them may be written already, and
    the first must not go over it."""

    def __init__(
        self,
        write_each: Callable[[Iterable[Item]], Iterator[None]],
        together: Callable[[Sequence[Item]], Item],
        patiently: Callable[[Try], Awaitable[None]],
    ) -> None:
        self._write_each, self._together, self._patiently = write_each, together, patiently
        self._waiting: deque[tuple[Item, asyncio.Future[None]]] = deque()  # what has not ended
        self._begun = 0  # so many of these
        self._writing: asyncio.Task[None] | None = None

    async def do(self, item: Item) -> None:
        """Has an item written in its turn, and waits for that, though it is written all the same where the wait is cancelled.

        Raises what ended the writing at this item, GivenUp where it was at one before it.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await done

    async def idle(self) -> None:
        """Waits until nothing is written."""
        if self._writing is not None:
            await asyncio.wait([self._writing])

    async def _write(self) -> None:
        try:
            while self._waiting:  # one may have come since the thread found none
                await self._patiently(functools.partial(asyncio.to_thread, self._in_turn, asyncio.get_running_loop()))
        except Exception as error:  # noqa: BLE001  # whoever waits is told of it
            self._fail(error)
        finally:
            self._writing = None

    def _fail(self, error: Exception) -> None:
        for _, done in self._waiting:
            if not done.cancelled():
                done.set_exception(error)
            error = GivenUp()
        self._waiting.clear()
        self._begun = 0

    def _in_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Writes until nothing waits."""
        counts: deque[int] = deque()  # of how many items each is that was begun
        doubtful, self._begun = self._begun, 0

        def to_write() -> Iterator[Item]:
            if doubtful:
                counts.append(doubtful)
                yield self._begin(doubtful)
            while self._begun < len(self._waiting):
                counts.append(1)
                yield self._begin(1)

        for _ in self._write_each(to_write()):
            for _ in range(counts.popleft()):
                _, done = self._waiting.popleft()
                self._begun -= 1
                loop.call_soon_threadsafe(_end, done)

    def _begin(self, count: int) -> Item:
        items = [self._waiting[at][0] for at in range(self._begun, self._begun + count)]
        self._begun += count
        return items[0] if count == 1 else self._together(items)


def _end(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.set_result(None)
