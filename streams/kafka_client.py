"""What the worker asks of Kafka's client behind Faust: whether it reaches the group's coordinator, to go back to what was never
committed, to hand messages on without detours, not to end by a look at itself, and to say less.

Faust offers none of it, so this touches private parts of it and of aiokafka, in this module alone. A test holds them to be there.
"""

from __future__ import annotations

import functools
import logging
import time
import types
from collections import deque
from collections.abc import Callable, Container, Coroutine, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiokafka.errors import GroupCoordinatorNotAvailableError
from faust.types.tuples import ConsumerMessage

CLIENTS = ("aiokafka", "faust", "mode")
QUIET_SECONDS = 30.0


def coordinator_lost(app: Any) -> GroupCoordinatorNotAvailableError | None:
    """The error that the consumer has lost its coordinator, None while it knows one or does not run yet.

    It loses it with the first heartbeat that fails, so this tells also a worker that has nothing to write.
    """
    consumer = app.consumer._thread._consumer
    if consumer is None or consumer._coordinator.coordinator_id is not None:
        return None
    return GroupCoordinatorNotAvailableError("the group's coordinator is not reached")


def never_give_recovery_up(app: Any) -> None:
    """Has Faust wait for Kafka while it reads states back, however long that takes.

    Faust bounds each step, takes one that timed out for its own end, and stands still from then on with nobody told.
    """
    recovery = app.tables.recovery
    bounded = recovery._wait

    async def wait(awaited: Any, timeout: Any = None) -> None:  # noqa: ARG001  # Faust's signature
        await bounded(awaited)

    recovery._wait = wait


def go_back_to_the_first(app: Any, topics: Iterable[str]) -> None:
    """Has a partition of these topics of which nothing was ever committed be read from its first message after a rebalance.

    Faust drops what it fetches before its tables are restored and seeks what was committed; aiokafka leaves a partition where it
    is that has no such offset. All that was fetched of it until then would be lost.
    """
    consumer, sources = app.consumer, frozenset(topics)
    to_committed = consumer.seek_to_committed

    async def seek_to_committed() -> Any:
        committed = await to_committed()
        never = [tp for tp, offset in committed.items() if not offset and tp.topic in sources]
        if never:
            await consumer._thread.seek_to_beginning(*never)
        return committed

    consumer.seek_to_committed = seek_to_committed


def seek_before_anything_is_delivered(app: Any) -> None:
    """Has Faust hand on no message between the restoring of its tables and its seek to what was committed.

    Its fetcher runs by then, and Faust empties the agents' queues after the seek: what came in between counts as read, and the
    offsets after it close over it as over a gap that somebody's transaction left. It would be lost.
    """
    recovery = app.tables.recovery
    complete = recovery.on_recovery_completed

    async def on_recovery_completed(*arguments: Any, **named: Any) -> None:
        app.consumer.stop_flow()
        app.flow_control.suspend()
        await complete(*arguments, **named)  # lets both go on

    recovery.on_recovery_completed = on_recovery_completed


class Fetched(ConsumerMessage):
    """What one poll brought of a partition, as one message to Faust: the last record's offset stands for all of them."""

    __slots__ = ("records",)

    def __init__(self, tp: Any, records: Sequence[Any], generation_id: int) -> None:
        last = records[-1]
        seconds = last.timestamp / 1000
        super().__init__(tp.topic, tp.partition, last.offset, seconds, 0, [], b"", b"", None, tp=tp, generation_id=generation_id)
        self.records = records


class HandedOn:
    """The polls of one partition that were handed on in one generation of the group, and which of them are acknowledged."""

    def __init__(self, generation_id: int | None) -> None:
        self.generation_id = generation_id
        self._last: deque[int] = deque()  # the last offset of each
        self._acknowledged: set[int] = set()

    def add(self, first: int, last: int) -> None:
        """Notes a poll. Where the reader went back for it, those that it brings again no longer count."""
        while self._last and self._last[-1] >= first:
            self._last.pop()
        self._last.append(last)

    def committable(self, acknowledged: Iterable[int]) -> int | None:
        """The offset after the polls that are acknowledged now, up to the first that is not; None where that is not further than
        when it was last asked for."""
        self._acknowledged.update(acknowledged)
        offset = None
        while self._last and self._last[0] in self._acknowledged:
            offset = self._last.popleft() + 1
        self._acknowledged.intersection_update(self._last)
        return offset


def hand_on_polls(app: Any, topics: Iterable[str]) -> None:
    """Has Faust hand on what a poll brought of a partition of these topics as one message, `Fetched`.

    Message by message it makes an event of each, notes that it is not acknowledged, that it is, and which offsets in a row are:
    a third of what its process does. What it commits follows from the polls that were acknowledged. Faust would take the offsets
    between two of them for a gap, and a poll that was never acknowledged for a part of it.
    """
    consumer, sources = app.consumer, frozenset(topics)
    one_by_one, by_faust = consumer._to_message, consumer.callback
    offset_after, note_gap = consumer._new_offset, consumer._add_gap
    handed_on: dict[Any, HandedOn] = {}

    def to_message(tp: Any, polled: Any) -> Any:
        return Fetched(tp, polled, app.consumer_generation_id) if tp.topic in sources else one_by_one(tp, polled)

    def hand_on(message: Any) -> Coroutine[Any, Any, None]:
        if isinstance(message, Fetched):
            known = handed_on.get(message.tp)
            if known is None or known.generation_id != message.generation_id:
                known = handed_on[message.tp] = HandedOn(message.generation_id)
            known.add(message.records[0].offset, message.offset)
        handing: Coroutine[Any, Any, None] = by_faust(message)
        return handing

    def new_offset(tp: Any) -> int | None:
        if tp.topic not in sources:
            of_faust: int | None = offset_after(tp)
            return of_faust
        acknowledged, known = consumer._acked[tp], handed_on.get(tp)
        offset = None if known is None else known.committable(acknowledged)
        consumer._acked_index[tp].difference_update(acknowledged)
        acknowledged.clear()
        return offset

    async def add_gap(tp: Any, first: int, last: int) -> None:
        if tp.topic not in sources:
            await note_gap(tp, first, last)

    consumer.scheduler = PartitionByPartition(sources)
    consumer._to_message, consumer.callback = to_message, hand_on
    consumer._new_offset, consumer._add_gap = new_offset, add_gap


def deliver_at_once(app: Any) -> None:
    """Has Faust hand on each message by a plain call.

    Faust makes four tasks of it, so that one that has to wait ends when the partitions go: most of what restoring a state costs.
    Hardly any has to wait, and only of those are tasks made here.
    """
    consumer = app.consumer
    raced = consumer.wait_first

    async def wait_first(delivery: Any, *others: Any, **options: Any) -> Any:
        if not isinstance(delivery, types.CoroutineType):
            return await raced(delivery, *others, **options)  # no delivery: something else that the consumer waits for
        try:
            awaited = delivery.send(None)
        except StopIteration:
            return None  # Faust's fetcher makes no use of more
        return await raced(_resumed(delivery, awaited), *others, **options)

    stop = _Later(consumer.suspend_flow.wait)
    consumer.suspend_flow.wait = lambda: stop  # with each message: most often nobody waits for it
    consumer.wait_first = wait_first


class _Later:
    """What can be waited for, and begins to be once somebody does: it looks like an event to `wait_first`."""

    def __init__(self, wait: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self.wait = wait


class PartitionByPartition:
    """The order of polled records: as they lie there, one partition after another, those of some topics in one piece.

    Faust takes turns between topics and partitions, by three iterators for each record. A partition has no more than one fetch
    here, and agents take batches of many.
    """

    def __init__(self, in_one_piece: Container[str]) -> None:
        self._in_one_piece = in_one_piece

    def iterate(self, records: Mapping[Any, Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
        """Each record, or all at once, with its partition."""
        for tp, of_partition in records.items():
            if tp.topic not in self._in_one_piece:
                for record in of_partition:
                    yield tp, record
            elif of_partition:
                yield tp, of_partition


def never_note_ends(app: Any) -> None:
    """Has Faust not ask its client with each message where the partition ends, for statistics that nobody reads; ask `end`."""
    app.consumer.highwater = lambda tp: None  # noqa: ARG005  # Faust's signature
    app.monitor.track_tp_end_offset = lambda tp, offset: None  # noqa: ARG005  # Faust's signature


def end(app: Any, tp: Any) -> int | None:
    """Where a partition ended when something of it was fetched last, None before. Raises AssertionError where it is not ours."""
    offset: int | None = app.consumer._thread.highwater(tp)
    return offset


def never_look_for_standstills(app: Any) -> None:
    """Has Faust not look every few seconds whether its partitions stand still.

    It asks each for its position from another thread than the one that seeks. While a partition goes back to its first message it
    has none, for up to a second and a half, and the assertion that answers Faust ends the worker. All that the look ever does is
    to log; lag and watermarks are among the worker's metrics.
    """
    app.consumer.verify_event_path = lambda now, tp: None  # noqa: ARG005  # Faust's signature


async def _resumed(begun: Coroutine[Any, Any, Any], awaited: Any) -> Any:
    """A coroutine that has come to its first wait outside of a task, to be run on in one."""
    return await _rest(begun, awaited)


@types.coroutine
def _rest(begun: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    while True:
        try:
            answer = yield awaited
        except BaseException as error:  # noqa: BLE001  # a cancellation too is the coroutine's to handle
            step = functools.partial(begun.throw, error)
        else:
            step = functools.partial(begun.send, answer)
        try:
            awaited = step()
        except StopIteration as done:
            return done.value


class Repeats(logging.Filter):
    """Lets a client's warning pass once in QUIET_SECONDS: while a broker is away each repeats its own several times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[tuple[str, object], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record passes. Known by its logger and its text without arguments."""
        if record.name.split(".")[0] not in CLIENTS:
            return True
        now, kind = time.monotonic(), (record.name, record.msg)
        if now - self._passed.get(kind, -QUIET_SECONDS) < QUIET_SECONDS:
            return False
        self._passed[kind] = now
        return True


def say_less() -> None:
    """Has the process's log handlers leave out what the clients repeat."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(Repeats())
