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
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import faust

from contracts.settings import Settings
from featurestore.online import OnlineWriter
from featurestore.row_block import joined, latest
from streams.letters import Letter
from streams.line import Line
from streams.patience import GivenUp, Outages, patiently
from streams.processor import Changes
from streams.table import StateTable
from streams.threads import in_thread
from streams.views import Kernel, Row

PARTS_UNDER_WAY = 12  # of up to 4,000 keys: what is written while the next batch is taken
Rows = Mapping[str, Sequence[Row]]  # by view


class Pipeline:
    """The writes of one view. `on_failure` is called where one fails: nothing that was taken until then is written any more."""

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
        self._rows = Line(self._write_each, _together, self._patiently_rows)
        self._states_turn = asyncio.Lock()  # first come, first served, as rows are: parts stay in order
        self._under_way: set[asyncio.Task[None]] = set()
        self._latest: asyncio.Task[None] | None = None  # the end of the batch that began last
        self._failed = False

    def give_up(self) -> None:
        """Ends every wait for a server; what was not written stays unacknowledged."""
        self._given_up.set()

    def resume(self) -> None:
        """Begins anew, with what is taken from now on. Nothing may be under way."""
        self._given_up.clear()
        self._failed = False

    async def drained(self) -> None:
        """Waits for what is under way, whatever becomes of it."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._rows.idle()
        if self._latest is not None:
            await asyncio.wait([self._latest])

    async def begin(self, letters: Sequence[Letter], parts: Iterable[Changes], *, rows_first: bool = False) -> Awaitable[None]:
        """Sends letters, and begins to write parts, each as soon as there is room for it. Await the result for the end of it.

        That raises what made it fail, and GivenUp where a wait was given up, here or before it. With `rows_first` the states of a
        part are stored once its rows are written.
        """
        if letters:
            with self.or_fail():
                await patiently(functools.partial(self._send, letters), self._outages["kafka"], self._given_up)
        steps: list[asyncio.Task[None]] = []
        left = map(self._encoded, parts)
        while (changes := await in_thread(functools.partial(next, left, None))) is not None:
            await self._room.acquire()
            steps.append(self._step(self._write_part(changes, rows_first)))
            steps[-1].add_done_callback(lambda _: self._room.release())
            await asyncio.sleep(0)  # it begins, and takes its turn
            if self._failed:
                break
        self._latest = asyncio.create_task(self._ended(steps, self._latest), name=f"end {self._view}")
        return self._latest

    async def write_rows(self, rows: Rows) -> None:
        """Writes rows, by view, in their turn, and waits for it."""
        await self._rows.do(rows)

    @contextmanager
    def or_fail(self) -> Iterator[None]:
        """Whoever cannot go on takes with it what was taken until then."""
        try:
            yield
        except BaseException:
            if not self._failed:
                self._failed = True
                self._on_failure()
                self.give_up()  # what waits beside it for another server
            raise

    def _step(self, step: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        async def run() -> None:
            with self.or_fail():
                await step

        task = asyncio.create_task(run(), name=f"write {self._view}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _ended(self, steps: Sequence[asyncio.Task[None]], before: asyncio.Task[None] | None) -> None:
        if before is not None:  # one that has nothing to write, too, ends after those before it: Kafka is told one offset for all
            await asyncio.wait([before])
        _raise_cause(await asyncio.gather(*steps, return_exceptions=True))
        self.still()

    async def _write_part(self, changes: Changes, rows_first: bool) -> None:
        if rows_first:
            await self.write_rows(changes.rows)
            await self._store(changes)
        else:
            writes = self.write_rows(changes.rows), self._store(changes)
            _raise_cause(await asyncio.gather(*writes, return_exceptions=True))

    async def _store(self, changes: Changes) -> None:
        async with self._states_turn:
            self.still()
            with self.or_fail():
                await patiently(functools.partial(self._states.put, changes.states), self._outages["kafka"], self._given_up)

    def _encoded(self, changes: Changes) -> Changes:
        """The same changes with their rows ready to be sent: the online store is not to wait for that."""
        return Changes({view: self._online.encoded(view, rows) for view, rows in changes.rows.items()}, changes.states)

    async def _patiently_rows(self, write: Callable[[], Awaitable[None]]) -> None:
        with self.or_fail():  # before anything else is written
            await patiently(write, self._outages["online_store"], self._given_up)

    def _write_each(self, parts: Iterable[Rows]) -> Iterator[None]:
        def wanted() -> Iterator[Rows]:
            for part in parts:
                self.still()
                yield part

        return self._online.write_each(wanted())

    async def _send(self, letters: Sequence[Letter]) -> None:
        send = self._app.producer.send
        sent = [await send(self._letters[x.kind], x.key, x.value, None, None, list(x.headers)) for x in letters]
        await asyncio.gather(*sent)

    def still(self) -> None:
        """Raises GivenUp where a write has failed: what was taken since, or is being taken, is never written."""
        if self._failed:
            raise GivenUp


def _together(parts: Sequence[Rows]) -> Rows:
    """The last row of each key, by view."""
    found: dict[str, Sequence[Row]] = {}
    for part in parts:
        for view, rows in part.items():
            found[view] = joined(found.get(view), rows)
    return {view: latest(rows, view) for view, rows in found.items()}


def _raise_cause(outcomes: Sequence[BaseException | None]) -> None:
    """Raises what went wrong, if anything did: the cause, rather than what was given up because of it."""
    failed = [outcome for outcome in outcomes if outcome is not None]
    for outcome in sorted(failed, key=lambda outcome: isinstance(outcome, GivenUp)):
        raise outcome
