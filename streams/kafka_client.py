"""What the worker asks of Kafka's client behind Faust: whether it reaches the group's coordinator, to go back to what was never
committed, to hand messages on without detours, not to end by a look at itself, and to say less.

Faust offers none of it, so this touches private parts of it and of aiokafka, in this module and in `polls.py` alone. A test holds
them to be there.
"""

from __future__ import annotations

import functools
import logging
import time
import types
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any

from aiokafka.errors import GroupCoordinatorNotAvailableError

CLIENTS = ("aiokafka", "faust", "mode")
QUIET_SECONDS = 30.0


def coordinator_lost(app: Any) -> GroupCoordinatorNotAvailableError | None:
    """The error that the consumer has lost its coordinator, None while it knows one or has not begun to look for one.

    It loses it with the first heartbeat that fails, so this tells also a worker that has nothing to write.
    """
    consumer = app.consumer._thread._consumer
    coordinator = None if consumer is None else consumer._coordinator  # none either while the client makes its first connection
    if coordinator is None or coordinator.coordinator_id is not None:
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

    Its fetcher runs by then, and Faust empties the agents' queues after the seek: what came in between counts as read, and it
    would not come again.
    """
    recovery = app.tables.recovery
    complete = recovery.on_recovery_completed

    async def on_recovery_completed(*arguments: Any, **named: Any) -> None:
        app.consumer.stop_flow()
        app.flow_control.suspend()
        await complete(*arguments, **named)  # lets both go on

    recovery.on_recovery_completed = on_recovery_completed


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
