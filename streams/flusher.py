"""Writes what a view's partitions changed, in the order that makes a crash at any point harmless.

1. Letters, acknowledged. 2. Rows to the online store. 3. States to the changelog and RocksDB. 4. Only then are the messages
acknowledged. A crash before 3 reads them again and applies them again to the old states; one after 3 reads them again, and
the fence in each state knows them, but their rows are written once more.

While one batch is written the next one may already be taken: states in memory are then two batches ahead of what is stored, and
writes stay in order. A write that fails takes those behind it with it.

A server that is away is waited for, at the step that needs it: nothing is acknowledged meanwhile, and the queues before this
fill up until Kafka is no longer read. A partition that goes to another worker ends the wait.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
from streams.patience import GivenUp, Outages, Server, patiently
from streams.processor import Incoming, Partition, Work
from streams.table import StateTable
from streams.views import Kernel, Row

REWRITE_KEYS = 500  # rows written again in one go: a batch of events waits for so many, some 50 ms
IDLE_SECONDS = 3.0  # where no message came for so long, Kafka is asked whether there is any


class Flusher:
    """One view on this worker: its partitions, and the lock under which they change and are written.

    `writing` is shared by all views: a client of the online store serves one thread at a time.
    """

    def __init__(
        self,
        app: faust.App,
        settings: Settings,
        kernel: Kernel,
        online: OnlineStore,
        writing: asyncio.Lock,
        outages: Outages,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._app, self._settings, self.kernel = app, settings, kernel
        self._online, self._writing, self._metrics, self._clock = online, writing, metrics, clock
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
        self._order = asyncio.Lock()  # whoever has taken works waits for it under `lock`, so that they are written as taken
        self._failures = 0  # of writes: what was taken before one is not to be written after it
        self.lock = asyncio.Lock()

    def give_up(self) -> None:
        """Ends every wait for a server; what was not written stays unacknowledged."""
        self._given_up.set()

    async def hold(self) -> None:
        """Waits for what is under way, and lets nothing begin any more."""
        await self.lock.acquire()
        await self._order.acquire()

    async def leave(self) -> None:
        """Gives all partitions up, after the batch under way: whoever restores them next must find all that this worker wrote."""
        self.give_up()
        async with self.lock, self._order:
            self._partitions = {}

    async def restore(self, assigned: Iterable[int]) -> None:
        """Begins anew with the assigned partitions, from their stored states."""
        async with self.lock, self._order:
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
            events, states = _by_partition(messages, self.source), _by_partition(messages, self.rebuilt)
            works = [self._partitions[n].take(group, self._clock()) for n, group in events.items()]
            self._judge(works)
            works += [self._partitions[n].take_over(group) for n, group in states.items()]
            for number in events:
                self._busy_at[number] = time.monotonic()
            turn = await self._turn()
        await self._write(works, turn)
        for number, group in events.items():
            self._next_offset[number] = group[-1].offset + 1

    async def tick(self) -> None:
        """Writes the rows that time alone has changed."""
        for number in list(self._partitions):
            more = True
            while more:
                caught_up = await self._caught_up(number)  # can wait for the consumer, so not under the lock
                async with self.lock:
                    partition = self._partitions.get(number)
                    if partition is None:
                        break
                    work = partition.tick(self._clock(), caught_up)
                    more = work.more
                    if not work.rows:
                        continue
                    turn = await self._turn()
                await self._write([work], turn)
        self._metrics.standing(self.kernel.view, self.kernel.topic, self.keys, self.lag_seconds())

    async def rewrite(self, number: int) -> int:
        """Writes the online rows of all stored states of a partition again, as they are then; how many these are.

        Between two parts batches go on. Raises GivenUp where the partition goes to another worker.
        """
        rows, after = 0, b""
        while True:
            async with self.lock, self._order:  # a row of a batch under way would come after the newer one made here
                partition = self._partitions.get(number)
                if partition is None:
                    raise GivenUp
                keys = self._states.keys_after(number, after, REWRITE_KEYS)
                if not keys:
                    return rows
                await self._write_rows([partition.rewrite(keys)])
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

    async def _turn(self) -> int:
        """Waits until what was taken before is written. Call it under the lock, and give the result to `_write`."""
        failures = self._failures
        await self._order.acquire()
        return failures

    async def _write(self, works: list[Work], failures: int) -> None:
        """Writes works in their turn, and ends the turn. Raises GivenUp, also where those before it were not written."""
        try:
            if failures != self._failures:
                raise GivenUp
            await self._write_all(works)
        except BaseException:
            self._failures += 1
            self._partitions = {}  # their caches are ahead of what is stored
            raise
        finally:
            self._order.release()

    async def _write_all(self, works: list[Work]) -> None:
        started = time.monotonic()
        await self._patiently(functools.partial(self._send_letters, works), "kafka")
        await self._write_rows(works)
        for work in works:
            await self._patiently(functools.partial(self._states.put, work.partition, work.states), "kafka")
            self._partitions[work.partition].written(work)
        self._metrics.flushed(self.kernel.view, self.kernel.topic, works, time.monotonic() - started)

    async def _write_rows(self, works: Iterable[Work]) -> None:
        rows = [row for work in works for row in work.rows]
        if rows:
            await self._patiently(functools.partial(self._write_view, self.kernel.view.name, rows), "online_store")

    async def _write_view(self, view: str, rows: list[Row]) -> None:
        async with self._writing:  # held for one try alone: others may try meanwhile
            await asyncio.to_thread(self._online.write, view, rows)

    async def _patiently(self, step: Callable[[], Awaitable[None]], server: Server) -> None:
        await patiently(step, self._outages[server], self._given_up)

    async def _send_letters(self, works: list[Work]) -> None:
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
