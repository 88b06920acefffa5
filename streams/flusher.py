"""One view on this worker: takes batches and ticks into its partitions, and has all that follows from them written.

Messages are acknowledged once all that they touched is written. After a crash they are read again: where the state was not stored
they are applied again to the old one; where it was, its fence knows them, and the row is written once more. What time alone has
changed is read from nowhere again: its rows come first, then its states.

The next batch is taken while one is written: states in memory are ahead of what is stored, and none is let go of until all are
stored. Where a server is away nothing is taken any more once there is no room, and the queues before this fill up until Kafka is
no longer read. A partition that goes to another worker ends the wait.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from faust.types import TP

from contracts.clock import Clock
from contracts.letters import OFFSET, PARTITION
from contracts.settings import Settings
from contracts.stream_states import group_fingerprint
from featurestore.online import OnlineWriter
from streams.budget import Budget, Taken
from streams.kafka_client import end
from streams.metrics import Metrics
from streams.patience import GivenUp, Outages
from streams.pipeline import Pipeline
from streams.polls import Fetched
from streams.processor import Changes, Decoded, Incoming, Partition, Work
from streams.table import StateTable
from streams.threads import in_thread
from streams.views import Kernel

PART_KEYS = 4_000  # written in one go: the first rows of a batch are readable long before its last
REWRITE_KEYS = 500  # rows written again in one go: a batch of events waits for so many, some 50 ms
IDLE_SECONDS = 3.0  # where no message came for so long, Kafka is asked whether there is any


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """Messages that were read together, by partition: the events decoded, and rebuilt states."""

    partitions: Mapping[int, Partition]
    events: Mapping[int, Decoded]
    states: Mapping[int, Sequence[Incoming]]


class Flusher:
    """One view on this worker: its partitions, and the lock under which they change."""

    def __init__(
        self,
        app: faust.App,
        settings: Settings,
        kernel: Kernel,
        online: OnlineWriter,
        outages: Outages,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._app, self._settings, self.kernel = app, settings, kernel
        self._metrics, self._clock = metrics, clock
        prefix = settings.topic_prefix
        self.source = kernel.topic.name(prefix)
        self.rebuilt = kernel.topic.rebuilt(prefix)
        self._budget = Budget(settings.dead_letter_share, settings.dead_letter_window)
        self._states = StateTable(app, settings, kernel.view)
        self._pipeline = Pipeline(app, settings, kernel, online, self._states, outages, self._forget_all)
        self._partitions: dict[int, Partition] = {}
        self._busy_at: dict[int, float] = {}
        self._next_offset: dict[int, int] = {}
        self.lock = asyncio.Lock()

    def give_up(self) -> None:
        """Ends every wait for a server; what was not written stays unacknowledged."""
        self._pipeline.give_up()

    async def hold(self) -> None:
        """Waits for what is under way, and lets nothing begin any more."""
        await self.lock.acquire()
        await self._pipeline.drained()

    async def leave(self) -> None:
        """Gives all partitions up, after the batch under way: whoever restores them next must find all that this worker wrote."""
        self.give_up()
        async with self.lock:
            await self._pipeline.drained()
            self._partitions = {}

    async def restore(self, assigned: Mapping[int, int]) -> None:
        """Begins anew with the assigned partitions, each with the next offset to be read, from their stored states."""
        async with self.lock:
            await self._pipeline.drained()
            self._pipeline.resume()
            self._partitions = {}
            self._next_offset.clear()
            for number, next_offset in assigned.items():
                partition = self._partition(number)
                await asyncio.to_thread(partition.restore, self._states.items(number), next_offset)
                self._partitions[number] = partition
                self._busy_at[number] = time.monotonic()

    async def decode(self, fetched: Sequence[Fetched]) -> DecodedBatch:
        """Decodes a batch of messages, while the one before may be taken and written.

        Raises GivenUp where a partition went to another worker meanwhile: it reads the messages again.
        """
        partitions = self._partitions  # those of now
        numbers = {some.partition for some in fetched}
        if not numbers <= partitions.keys():
            raise GivenUp
        events, states = _by_partition(fetched, self.source), _by_partition(fetched, self.rebuilt)
        return DecodedBatch(
            {number: partitions[number] for number in numbers},
            await in_thread(lambda: {number: partitions[number].decode(group) for number, group in events.items()}),
            {number: list(group) for number, group in states.items()},
        )

    async def begin(self, batch: DecodedBatch) -> Awaitable[None]:
        """Takes the next batch and begins to write all that follows. Await the result for the end of it: its messages may be
        acknowledged then.

        Raises GivenUp, here or there, where a partition went to another worker since it was decoded: it reads the messages again.
        """
        async with self.lock:
            await self._rest()
            if any(self._partitions.get(number) is not partition for number, partition in batch.partitions.items()):
                raise GivenUp
            for number in batch.events:
                self._busy_at[number] = time.monotonic()
            with self._pipeline.or_fail():
                works = await in_thread(functools.partial(self._works, batch))
                self._pipeline.still()  # an earlier batch may have failed meanwhile, and taken the partitions with it
                self._judge(works)
                written = await self._write(works)
        return self._read_to(written, batch.events)

    async def _read_to(self, written: Awaitable[None], events: Mapping[int, Decoded]) -> None:
        await written
        for number, decoded in events.items():
            self._next_offset[number] = decoded.read_to + 1

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
                    with self._pipeline.or_fail():
                        work = await in_thread(functools.partial(partition.tick, self._clock(), caught_up=True))
                        more = work.more
                        if work.touched or work.sums:
                            await (await self._write([work], rows_first=True))
        self._metrics.standing(self.kernel.view, self.kernel.topic, self.keys, self.lag_seconds())

    async def rewrite(self, number: int) -> int:
        """Writes the online rows of all stored states of a partition again, as they are then; how many these are.

        Between two parts batches go on. Raises GivenUp where the partition goes to another worker.
        """
        rows, pieces = 0, self._pieces(number)
        while True:
            async with self.lock:
                partition = self._partitions.get(number)
                if partition is None:
                    raise GivenUp
                if not rows:  # a row that went to a store which was emptied since may be of a key that is not stored yet
                    await self._pipeline.drained()
                rewrite = next(pieces, None)
                if rewrite is None:
                    return rows
                changes = rewrite(partition)
                await self._pipeline.write_rows(changes.rows)
                await self._rest()
            rows += sum(map(len, changes.rows.values()))

    def _pieces(self, number: int) -> Iterator[Callable[[Partition], Changes]]:
        """What writes the rows of a partition again, piece by piece, each as of when it is called."""
        after = b""
        while keys := self._states.keys_after(number, after, REWRITE_KEYS):
            yield functools.partial(Partition.rewrite, stored_keys=keys)
            after = keys[-1]
        sums = iter(self._partitions[number].sum_keys())
        while some := list(itertools.islice(sums, REWRITE_KEYS)):
            yield functools.partial(Partition.rewrite_sums, keys=some)

    @property
    def assigned(self) -> list[int]:
        """The partitions that are restored here."""
        return list(self._partitions)

    @property
    def blank(self) -> list[int]:
        """The partitions here of which no key has a state yet."""
        return [number for number, partition in self._partitions.items() if not partition.keys]

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

    def _works(self, batch: DecodedBatch) -> list[Work]:
        """What the messages of each partition come to."""
        works = []
        for number, partition in batch.partitions.items():
            decoded = batch.events.get(number)
            work = Work(number) if decoded is None else partition.take(decoded, self._clock())
            partition.take_over(batch.states.get(number, ()), work)
            works.append(work)
        return works

    async def _rest(self) -> None:
        """Has states forgotten where there are too many in memory. Call it under the lock."""
        full = [partition for partition in self._partitions.values() if partition.is_full]
        if full:
            await self._pipeline.drained()
            for partition in full:
                partition.forget()

    def _forget_all(self) -> None:
        """What is in memory is ahead of what is stored, and will not be."""
        self._partitions = {}

    async def _write(self, works: list[Work], *, rows_first: bool = False) -> Awaitable[None]:
        """Begins to write all that works touched, in its turn. Call it under the lock, and await the result for the end of it."""
        started = time.monotonic()
        letters = [letter for work in works for letter in work.letters]
        rows: Counter[str] = Counter()
        taken = [(self._partitions[work.partition], work) for work in works]
        written = await self._pipeline.begin(letters, _counted(_parts(taken), rows), rows_first=rows_first)
        return self._ended(works, rows, written, started)

    async def _ended(self, works: list[Work], rows: Counter[str], written: Awaitable[None], started: float) -> None:
        await written
        self._metrics.flushed(self.kernel.view, self.kernel.topic, works, rows, time.monotonic() - started)

    async def _caught_up(self, number: int) -> bool:
        try:
            return await self._is_at_end(number)
        except (AssertionError, IllegalStateError):  # aiokafka's words for a partition that a rebalance has just taken away
            return False

    async def _is_at_end(self, number: int) -> bool:
        tp = TP(self.source, number)
        consumer: Any = self._app.consumer  # its annotations promise numbers that are None before the first answer
        fetched_end = end(self._app, tp)
        if fetched_end is None:
            return False
        if (self._next_offset.get(number) or 0) >= fetched_end:
            return True
        if time.monotonic() - self._busy_at.get(number, time.monotonic()) < IDLE_SECONDS:
            return False
        # Nothing to read, or nothing that a reader ever sees: the last offsets may be the marks of somebody's transactions.
        self._busy_at[number] = time.monotonic()  # asking waits for the consumer's thread: not every second
        position: int = await consumer.position(tp) or 0
        if position < fetched_end or self._is_fetched(tp):
            return False
        self._next_offset[number] = position
        return True

    def _is_fetched(self, tp: TP) -> bool:
        """Whether some messages of a partition were fetched and are not written yet."""
        consumer, now = self._app.consumer, self._app.consumer_generation_id  # those of an earlier assignment come again
        return any(message.tp == tp and message.generation_id == now for message in consumer.unacked)

    def _partition(self, number: int) -> Partition:
        return Partition(
            self.kernel,
            number,
            self._settings.topic_partitions,
            functools.partial(self._states.get, number),
            states=group_fingerprint(self._settings),
            max_lead_ms=self._settings.max_event_lead_ms,
            lateness_ms=self._settings.allowed_lateness_ms,
        )


def _counted(parts: Iterable[Changes], rows: Counter[str]) -> Iterator[Changes]:
    """The same parts, their rows counted by view."""
    for changes in parts:
        rows.update({view: len(of_view) for view, of_view in changes.rows.items()})
        yield changes


def _parts(taken: Iterable[tuple[Partition, Work]]) -> Iterator[Changes]:
    """What works change, in parts of up to PART_KEYS keys, gathered as each is asked for."""
    changes, keys = Changes(), 0
    for partition, work in taken:
        steps = [(len(touched.numbers), functools.partial(partition.add, touched)) for touched in work.touched]
        for count, add in (*steps, (len(work.sums), functools.partial(partition.add_sums, work.sums))):
            start = 0
            while start < count:
                end = min(start + PART_KEYS - keys, count)
                add(slice(start, end), changes)
                start, keys = end, keys + end - start
                if keys == PART_KEYS:
                    yield changes
                    changes, keys = Changes(), 0
    if changes.rows:
        yield changes


def _by_partition(fetched: Iterable[Fetched], topic: str) -> dict[int, Iterable[Incoming]]:
    """The messages of one topic, in their order."""
    records: dict[int, list[Any]] = {}
    for some in fetched:
        if some.topic == topic:
            records.setdefault(some.partition, []).extend(some.records)
    return {number: map(_incoming, group) for number, group in records.items()}


def _incoming(record: Any) -> Incoming:
    """A record of the Kafka client as the kernel's side sees it."""
    return Incoming(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, record.headers)
