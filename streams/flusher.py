"""Writes what a view's partitions changed, in the order that makes a crash at any point harmless.

What a batch touched is written in parts, each as soon as it is settled: rows to the online store, and at the same time states to
the changelog and RocksDB, both in the order of the parts. Letters are sent beside them. Only when all of it is acknowledged are
the messages. After a crash they are read again: where the state was not stored they are applied again to the old one; where it
was, its fence knows them, and the row is written once more. What time alone has changed is read from nowhere again: its rows come
first, then its states.

The next batch is taken while one is written: states in memory are ahead of what is stored, and the cache lets none go until all
are. A write that fails takes those behind it with it.

A server that is away is waited for, at the step that needs it: nothing is acknowledged meanwhile, and the queues before this
fill up until Kafka is no longer read. A partition that goes to another worker ends the wait.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP

from contracts.clock import Clock
from contracts.letters import OFFSET, PARTITION
from contracts.settings import Settings
from featurestore.online import OnlineStore
from streams.budget import Budget, Taken
from streams.metrics import Metrics
from streams.patience import GivenUp, Outages, patiently
from streams.processor import Changes, Incoming, Partition, Work
from streams.table import StateTable
from streams.views import Kernel, Row

PART_KEYS = 1_000  # settled and written in one go
PARTS_UNDER_WAY = 4  # so that neither the online store nor Kafka is waited for while there is something to compute
REWRITE_KEYS = 500  # rows written again in one go: a batch of events waits for so many, some 50 ms
IDLE_SECONDS = 3.0  # where no message came for so long, Kafka is asked whether there is any


class Flusher:
    """One view on this worker: its partitions, and the lock under which they change."""

    def __init__(
        self,
        app: faust.App,
        settings: Settings,
        kernel: Kernel,
        online: OnlineStore,
        outages: Outages,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._app, self._settings, self.kernel = app, settings, kernel
        self._online, self._metrics, self._clock = online, metrics, clock
        self._outages = outages
        prefix = settings.topic_prefix
        self.source = kernel.topic.name(prefix)
        self.rebuilt = kernel.topic.rebuilt(prefix)
        self._letters = {"dead": kernel.topic.dead_letters(prefix), "late": kernel.topic.late(prefix)}
        self._budget = Budget(settings.dead_letter_share, settings.dead_letter_window)
        self._states = StateTable(app, settings, kernel.view)
        self._partitions: dict[int, Partition] = {}
        self._busy_at: dict[int, float] = {}
        self._next_offset: dict[int, int] = {}
        self._given_up = asyncio.Event()
        self._room = asyncio.Semaphore(PARTS_UNDER_WAY)
        self._rows_turn, self._states_turn = asyncio.Lock(), asyncio.Lock()  # each first come, first served: parts stay in order
        self._under_way: set[asyncio.Task[None]] = set()
        self._failures = 0  # of writes: what was taken before one is not to be written after it
        self.lock = asyncio.Lock()

    def give_up(self) -> None:
        """Ends every wait for a server; what was not written stays unacknowledged."""
        self._given_up.set()

    async def hold(self) -> None:
        """Waits for what is under way, and lets nothing begin any more."""
        await self.lock.acquire()
        await self._all_written()

    async def leave(self) -> None:
        """Gives all partitions up, after the batch under way: whoever restores them next must find all that this worker wrote."""
        self.give_up()
        async with self.lock:
            await self._all_written()
            self._partitions = {}

    async def restore(self, assigned: Iterable[int]) -> None:
        """Begins anew with the assigned partitions, from their stored states."""
        async with self.lock:
            await self._all_written()
            self._given_up.clear()
            self._partitions = {}
            self._next_offset.clear()
            for number in assigned:
                partition = self._partition(number)
                await asyncio.to_thread(partition.restore, self._states.items(number))
                self._partitions[number] = partition
                self._busy_at[number] = time.monotonic()

    async def batch(self, messages: Sequence[Incoming]) -> None:
        """Takes a batch of messages and writes all that follows. When this returns they may be acknowledged.

        Raises GivenUp where a partition went to another worker meanwhile: it reads the messages again.
        """
        async with self.lock:
            if not {message.partition for message in messages} <= self._partitions.keys():
                raise GivenUp
            await self._rest()
            events, states = _by_partition(messages, self.source), _by_partition(messages, self.rebuilt)
            works = [self._take(number, events.get(number, ()), states.get(number, ())) for number in events | states]
            self._judge(works)
            for number in events:
                self._busy_at[number] = time.monotonic()
            written = await self._write(works)
        await written
        for number, group in events.items():
            self._next_offset[number] = group[-1].offset + 1

    async def tick(self) -> None:
        """Writes the rows that time alone has changed."""
        for number in list(self._partitions):
            more = True
            while more:
                if not await self._caught_up(number):  # can wait for the consumer, so not under the lock
                    break
                async with self.lock:
                    partition = self._partitions.get(number)
                    if partition is None:
                        break
                    work = partition.tick(self._clock(), caught_up=True)
                    more = work.more
                    if work.touched:
                        await (await self._write([work], rows_first=True))
        self._metrics.standing(self.kernel.view, self.kernel.topic, self.keys, self.lag_seconds())

    async def rewrite(self, number: int) -> int:
        """Writes the online rows of all stored states of a partition again, as they are then; how many these are.

        Between two parts batches go on. Raises GivenUp where the partition goes to another worker.
        """
        rows, after = 0, b""
        while True:
            async with self.lock:
                partition = self._partitions.get(number)
                if partition is None:
                    raise GivenUp
                keys = self._states.keys_after(number, after, REWRITE_KEYS)
                if not keys:
                    return rows
                await self._write_rows(partition.rewrite(keys), self._failures)
                await self._rest()
            rows, after = rows + len(keys), keys[-1]

    @property
    def assigned(self) -> list[int]:
        """The partitions that are restored here."""
        return list(self._partitions)

    @property
    def keys(self) -> int:
        """How many keys have a state here."""
        return sum(partition.keys for partition in self._partitions.values())

    def lag_seconds(self) -> float | None:
        """Clock minus the stream time of the partition that is furthest behind; None where nothing was read yet."""
        marks = [p.watermark for p in self._partitions.values() if p.watermark is not None]
        return max(0.0, (self._clock() - min(marks)) / 1000) if marks else None

    def _judge(self, works: Iterable[Work]) -> None:
        """Raises DataGateError where too many of the latest events are dead: this batch is not written then."""
        dead: Counter[str] = Counter()
        for work in works:
            dead.update({name.removeprefix("dead:"): n for name, n in work.counts.items() if name.startswith("dead:")})
        events = sum(work.counts["events"] for work in works) + dead.total()
        if not self._budget.take(Taken(events, dead)):
            headers = next(dict(x.headers) for work in works for x in work.letters if x.kind == "dead")
            self._budget.refuse(self.source, f"{headers[PARTITION].decode()}:{headers[OFFSET].decode()}")

    def _take(self, number: int, events: Iterable[Incoming], states: Iterable[Incoming]) -> Work:
        partition = self._partitions[number]
        work = partition.take(events, self._clock())
        partition.take_over(states, work)
        return work

    async def _rest(self) -> None:
        """Has states forgotten where there are too many in memory. Call it under the lock."""
        full = [partition for partition in self._partitions.values() if partition.is_full]
        if full:
            await self._all_written()
            for partition in full:
                partition.forget()

    async def _all_written(self) -> None:
        """Waits for what is under way, whatever becomes of it."""
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _write(self, works: list[Work], *, rows_first: bool = False) -> Awaitable[None]:
        """Begins to write all that works touched, in its turn. Call it under the lock, and await the result for the end of it.

        That raises GivenUp where a wait was given up, here or before it.
        """
        started, failures = time.monotonic(), self._failures
        steps = [self._begin(self._send_letters(works), failures)]
        for changes in self._parts(works):
            await self._room.acquire()
            steps.append(self._begin(self._write_part(changes, failures, rows_first), failures))
            steps[-1].add_done_callback(lambda _: self._room.release())
            await asyncio.sleep(0)  # it begins, and takes its turn
        return self._ended(works, steps, started)

    def _begin(self, step: Coroutine[Any, Any, None], failures: int) -> asyncio.Task[None]:
        async def kept() -> None:
            try:
                await step
            except BaseException:
                if failures == self._failures:
                    self._failures += 1
                    self._partitions = {}  # their caches are ahead of what is stored
                    self.give_up()  # what waits beside it for another server
                raise

        task = asyncio.create_task(kept(), name=f"write {self.source}")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _ended(self, works: list[Work], steps: list[asyncio.Task[None]], started: float) -> None:
        for outcome in await asyncio.gather(*steps, return_exceptions=True):
            if outcome is not None:
                raise outcome
        self._metrics.flushed(self.kernel.view, self.kernel.topic, works, time.monotonic() - started)

    def _parts(self, works: Iterable[Work]) -> Iterator[Changes]:
        """What works change, in parts of up to PART_KEYS keys, settled as each is asked for."""
        changes = Changes()
        for work in works:
            touched = iter(work.touched.items())
            while some := list(itertools.islice(touched, PART_KEYS - len(changes.rows))):
                self._partitions[work.partition].settle(some, changes)
                if len(changes.rows) == PART_KEYS:
                    yield changes
                    changes = Changes()
        if changes.rows:
            yield changes

    async def _write_part(self, changes: Changes, failures: int, rows_first: bool) -> None:
        if rows_first:
            await self._write_rows(changes.rows, failures)
            await self._store(changes, failures)
        else:
            outcomes = await asyncio.gather(
                self._write_rows(changes.rows, failures), self._store(changes, failures), return_exceptions=True
            )
            for outcome in filter(None, outcomes):
                raise outcome

    async def _write_rows(self, rows: list[Row], failures: int) -> None:
        async with self._rows_turn:
            self._still(failures)
            write = functools.partial(asyncio.to_thread, self._online.write, self.kernel.view.name, rows)
            await patiently(write, self._outages["online_store"], self._given_up)

    async def _store(self, changes: Changes, failures: int) -> None:
        async with self._states_turn:
            self._still(failures)
            await patiently(functools.partial(self._states.put, changes.states), self._outages["kafka"], self._given_up)

    async def _send_letters(self, works: list[Work]) -> None:
        await patiently(functools.partial(self._send, works), self._outages["kafka"], self._given_up)

    def _still(self, failures: int) -> None:
        if failures != self._failures:
            raise GivenUp

    async def _send(self, works: list[Work]) -> None:
        sent = []
        for work in works:
            for letter in work.letters:
                headers = list(letter.headers)
                sent.append(
                    await self._app.producer.send(self._letters[letter.kind], letter.key, letter.value, None, None, headers)
                )
        await asyncio.gather(*sent)

    async def _caught_up(self, number: int) -> bool:
        try:
            return await self._is_at_end(number)
        except (AssertionError, IllegalStateError):  # aiokafka's words for a partition that a rebalance has just taken away
            return False

    async def _is_at_end(self, number: int) -> bool:
        tp = TP(self.source, number)
        consumer: Any = self._app.consumer  # its annotations promise numbers that are None before the first answer
        end = consumer.highwater(tp)
        if end is None:
            return False
        if (self._next_offset.get(number) or 0) >= end:
            return True
        if time.monotonic() - self._busy_at.get(number, time.monotonic()) < IDLE_SECONDS:
            return False
        # Nothing to read, or nothing that a reader ever sees: the last offsets may be the marks of somebody's transactions.
        self._busy_at[number] = time.monotonic()  # asking waits for the consumer's thread: not every second
        position: int = await consumer.position(tp) or 0
        if position >= end:
            self._next_offset[number] = position
        return bool(position >= end)

    def _partition(self, number: int) -> Partition:
        return Partition(
            self.kernel,
            number,
            self._settings.topic_partitions,
            _loader(self._states, number),
            max_lead_ms=self._settings.max_event_lead_ms,
            lateness_ms=self._settings.allowed_lateness_ms,
        )


def _loader(states: StateTable, number: int) -> Callable[[bytes], bytes | None]:
    return lambda key: states.get(number, key)


def _by_partition(messages: Iterable[Incoming], topic: str) -> dict[int, list[Incoming]]:
    """The messages of one topic, in their order."""
    groups: dict[int, list[Incoming]] = {}
    for message in messages:
        if message.topic == topic:
            groups.setdefault(message.partition, []).append(message)
    return groups


def incoming(event: Any) -> Incoming:
    """A Faust event as the kernel's side sees it."""
    message = event.message
    return Incoming(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        kafka_time=round(message.timestamp * 1000),  # Faust keeps seconds
        key=message.key,
        value=message.value,
        headers=tuple(message.headers or ()),
    )
