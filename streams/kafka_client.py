"""What the worker asks of Kafka's client behind Faust: whether it reaches the group's coordinator; and to say less.

Faust shows neither, so this touches private parts of it and of aiokafka, in this module alone. A test holds them to be there.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from aiokafka.errors import GroupCoordinatorNotAvailableError

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
