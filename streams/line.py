"""Steps that block, done one after another in the order in which they were asked for, in a thread beside the event loop.

The thread goes from a step to the next by itself. Where the loop had to be asked between two, a server that does nothing else
would stand still until the loop, busy with messages, comes to it.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Awaitable, Callable

from streams.patience import GivenUp

Step = Callable[[], None]


class Line:
    """The steps of one kind. `patiently` does what it is given again where a server is away; after an error that it raises,
    no step that waits is done any more."""

    def __init__(self, patiently: Callable[[Callable[[], Awaitable[None]]], Awaitable[None]]) -> None:
        self._patiently = patiently
        self._waiting: deque[tuple[Step, asyncio.Future[None]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def do(self, step: Step) -> None:
        """Does a step in its turn, and waits for it. Raises what it raises, GivenUp where one before it did. Of a wait that is
        cancelled the step is not done, unless it has begun."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((step, done))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        await done

    async def _work(self) -> None:
        try:
            while self._waiting:  # one may have come since the thread found none
                await self._patiently(functools.partial(asyncio.to_thread, self._in_turn, asyncio.get_running_loop()))
        except Exception as error:  # noqa: BLE001  # whoever waits is told of it
            told: Exception = error
            for _, done in self._waiting:
                if not done.done():
                    done.set_exception(told)
                told = GivenUp()
            self._waiting.clear()
        finally:
            self._working = None

    def _in_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Does steps until there is none. One that raises stays the next."""
        while self._waiting:
            step, done = self._waiting[0]
            if not done.cancelled():
                step()
            self._waiting.popleft()
            loop.call_soon_threadsafe(_end, done)


def _end(done: asyncio.Future[None]) -> None:
    if not done.cancelled():
        done.set_result(None)
