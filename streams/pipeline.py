"""Writes what batches touched, in parts and in order, while the next ones are taken.

Letters come first, acknowledged: once a state is stored, its fence hides from a worker that reads the message again that it was
late. Then rows go to the online store, and at the same time states to the changelog and RocksDB, both in the order of the parts.
A batch has ended when all of it is acknowledged, and all before it. A write that cannot be takes all behind it with it: the
states in memory are ahead of what is stored then, and none of them may be stored any more.

A server that is away is waited for, at the step that needs it, until there is no more room for parts and nothing is taken.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import faust

from contracts.settings import Settings
from featurestore.online import OnlineWriter
from streams.letters import Letter
from streams.patience import GivenUp, Outages, patiently
from streams.processor import Changes
from streams.table import StateTable
from streams.views import Kernel, Row

PARTS_UNDER_WAY = 4  # so that neither the online store nor Kafka is waited for while there is something to compute


class Pipeline:
    """The writes of one view. `on_failure` is called where one fails; nothing is written from then on until `resume`."""

    def __init__(
        self,
        app: faust.App,
        settings: Settings,
        kernel: Kernel,
        online: OnlineWriter,
        states: StateTable,
        outages: Outages,
        on_failure: Callable[[], None],
    ) -> None:
        prefix = settings.topic_prefix
        self._app, self._view, self._online, self._states = app, kernel.view.name, online, states
        self._letters = {"dead": kernel.topic.dead_letters(prefix), "late": kernel.topic.late(prefix)}
        self._outages, self._on_failure = outages, on_failure
        self._given_up = asyncio.Event()
        self._room = asyncio.Semaphore(PARTS_UNDER_WAY)
        self._rows_turn, self._states_turn = asyncio.Lock(), asyncio.Lock()  # each first come, first served: parts stay in order
        self._under_way: set[asyncio.Task[None]] = set()
        self._latest: asyncio.Task[None] | None = None  # the end of the batch that began last
        self._failures = 0  # what was taken before one is not to be written after it

    def give_up(self) -> None:
        """Ends every wait for a server; what was not written stays unacknowledged."""
        self._given_up.set()

    def resume(self) -> None:
        """Lets writes wait for servers again."""
        self._given_up.clear()

    async def drained(self) -> None:
        """Waits for what is under way, whatever becomes of it."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._latest is not None:
            await asyncio.wait([self._latest])

    async def begin(self, letters: Sequence[Letter], parts: Iterable[Changes], *, rows_first: bool = False) -> Awaitable[None]:
        """Sends letters, and begins to write parts, each as soon as there is room for it. Await the result for the end of it.

        That raises what made it fail, and GivenUp where a wait was given up, here or before it. With `rows_first` the states of a
        part are stored once its rows are written.
        """
        failures = self._failures
        if letters:
            with self.or_fail(failures):
                await patiently(functools.partial(self._send, letters), self._outages["kafka"], self._given_up)
        steps: list[asyncio.Task[None]] = []
        for changes in parts:
            await self._room.acquire()
            steps.append(self._step(self._write_part(changes, failures, rows_first), failures))
            steps[-1].add_done_callback(lambda _: self._room.release())
            await asyncio.sleep(0)  # it begins, and takes its turn
            if failures != self._failures:
                break
        self._latest = asyncio.create_task(self._ended(steps, failures, self._latest), name=f"end {self._view}")
        return self._latest

    async def write_rows(self, rows: Sequence[Row]) -> None:
        """Writes rows in their turn, and waits for it."""
        await self._write_rows(rows, self._failures)

    @contextmanager
    def or_fail(self, failures: int | None = None) -> Iterator[None]:
        """Whoever cannot go on takes with it what was taken until then."""
        failures = self._failures if failures is None else failures
        try:
            yield
        except BaseException:
            if failures == self._failures:
                self._failures += 1
                self._on_failure()
                self.give_up()  # what waits beside it for another server
            raise

    def _step(self, step: Coroutine[Any, Any, None], failures: int) -> asyncio.Task[None]:
        async def run() -> None:
            with self.or_fail(failures):
                await step

        task = asyncio.create_task(run(), name=f"write {self._view}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _ended(self, steps: Sequence[asyncio.Task[None]], failures: int, before: asyncio.Task[None] | None) -> None:
        if before is not None:  # one that has nothing to write, too, ends after those before it: Kafka is told one offset for all
            await asyncio.wait([before])
        for outcome in await asyncio.gather(*steps, return_exceptions=True):
            if outcome is not None:
                raise outcome
        self._still(failures)

    async def _write_part(self, changes: Changes, failures: int, rows_first: bool) -> None:
        if rows_first:
            await self._write_rows(changes.rows, failures)
            await self._store(changes, failures)
        else:
            writes = self._write_rows(changes.rows, failures), self._store(changes, failures)
            for outcome in await asyncio.gather(*writes, return_exceptions=True):
                if outcome is not None:
                    raise outcome

    async def _write_rows(self, rows: Sequence[Row], failures: int) -> None:
        async with self._rows_turn:
            self._still(failures)
            write = functools.partial(asyncio.to_thread, self._online.write, self._view, rows)
            with self.or_fail(failures):  # before it is the next one's turn
                await patiently(write, self._outages["online_store"], self._given_up)

    async def _store(self, changes: Changes, failures: int) -> None:
        async with self._states_turn:
            self._still(failures)
            with self.or_fail(failures):
                await patiently(functools.partial(self._states.put, changes.states), self._outages["kafka"], self._given_up)

    async def _send(self, letters: Sequence[Letter]) -> None:
        send = self._app.producer.send
        sent = [await send(self._letters[x.kind], x.key, x.value, None, None, list(x.headers)) for x in letters]
        await asyncio.gather(*sent)

    def _still(self, failures: int) -> None:
        if failures != self._failures:
            raise GivenUp
