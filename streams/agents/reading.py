"""How each agent reads: in batches that grow with the backlog, acknowledged once all that follows from them is written.

Faust's own `take` family waits for its time-out when a batch is not full; here the next batch gathers while one is written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import faust

from streams.flusher import DecodedBatch, Flusher
from streams.patience import GivenUp

BATCH_MESSAGES = 8_000  # the more, the fewer rows and states are written for the same events: a key has one of each in a batch
LINGER_SECONDS = 0.05  # from the beginning of one batch to that of the next; a lone event does not wait
Fail = Callable[[BaseException], None]


def source(app: faust.App, flusher: Flusher) -> Any:
    """The topics of a flusher, bytes as they are: Faust would decode JSON otherwise, and end the agent where there is none.

    Both have the same partitions, so that Faust assigns the same of both to one worker.
    """
    return app.topic(
        flusher.source, flusher.rebuilt, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
    )


async def read(app: faust.App, stream: Any, flusher: Flusher, fail: Fail) -> None:
    """Reads a stream for ever. What goes wrong ends the worker by `fail`: an event whose agent raised would be lost."""
    stream, gathered = stream.noack(), Gathered(BATCH_MESSAGES)
    writer = asyncio.create_task(_write(app, gathered, flusher, fail), name=f"write {flusher.source}")
    try:
        async for event in stream.events():
            await gathered.has_room.wait()
            gathered.add(event)
    except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
        fail(error)
    finally:
        writer.cancel()


class Gathered:
    """Events that were read and are in no batch yet: `most` records and those that came with the last of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._events: list[Any] = []
        self._records = 0
        self.has_some, self.has_room = asyncio.Event(), asyncio.Event()
        self.has_room.set()

    def add(self, event: Any) -> None:
        """Takes an event in, for which there is room."""
        self._events.append(event)
        self._records += len(event.message.records)
        self.has_some.set()
        if self._records >= self._most:
            self.has_room.clear()

    def take(self) -> list[Any]:
        """All that there are."""
        events, self._events, self._records = self._events, [], 0
        self.has_some.clear()
        self.has_room.set()
        return events


async def _write(app: faust.App, gathered: Gathered, flusher: Flusher, fail: Fail) -> None:
    """While one batch is written, the next one is taken, the one after it is decoded, and the one after that gathers."""
    earlier: asyncio.Task[None] | None = None
    async with asyncio.TaskGroup() as tasks:  # they end with this task
        following = tasks.create_task(_next(app, gathered, flusher, fail, 0.0))  # the first event does not wait
        while True:
            events, batch, begun = await following
            following = tasks.create_task(_next(app, gathered, flusher, fail, begun + LINGER_SECONDS))
            if batch is not None:
                with _failing(fail):
                    written = await flusher.begin(batch)
                    if earlier is not None:
                        await earlier
                    earlier = tasks.create_task(_end(events, written, fail), name=f"end {flusher.source}")


async def _next(
    app: faust.App, gathered: Gathered, flusher: Flusher, fail: Fail, not_before: float
) -> tuple[list[Any], DecodedBatch | None, float]:
    """The next events, their batch, None where they come again, and when it began."""
    await gathered.has_some.wait()
    await asyncio.sleep(not_before - time.monotonic())
    begun, now = time.monotonic(), app.consumer_generation_id
    # events of an earlier assignment come again, to whoever has their partition now
    current = [event for event in gathered.take() if event.message.generation_id == now]
    batch: DecodedBatch | None = None
    with _failing(fail):
        batch = await flusher.decode([event.message for event in current])
    return current, batch, begun


async def _end(events: list[Any], written: Awaitable[None], fail: Fail) -> None:
    """Acknowledges a batch once it is written, and all before it."""
    with _failing(fail):
        await written
        for event in events:
            event.ack()


@contextmanager
def _failing(fail: Fail) -> Iterator[None]:
    try:
        yield
    except GivenUp:
        return  # not acknowledged: read again by whoever has their partition now
    except Exception as error:  # noqa: BLE001  # nothing is swallowed: the worker ends with it
        fail(error)
