"""Waiting for a server that is away: tried again with growing pauses, said once when it begins and once when it ends.

What a batch writes may be written again, so a step that failed is simply repeated until it is done, its partition has gone to
another worker, or the worker is asked to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Literal, TypeVar

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownError
from faust.exceptions import ProducerSendError

from contracts.errors import DependencyUnavailable

Result = TypeVar("Result")
Server = Literal["online_store", "kafka"]
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0  # short enough that an operator who brought it back sees it taken up
log = structlog.get_logger("rd360.streams")


class GivenUp(Exception):  # not an error: nobody needs this work from this worker any more
    """The work was not written: its partition is lost, or the worker stops. Nothing of it was acknowledged."""


class Outage:
    """Whether one server is away, since when and why. Several may wait for it; it is there again once none of them does."""

    def __init__(self, server: Server, noted: Callable[[Server, float], None]) -> None:
        self.server: Server = server
        self._noted = noted
        self._since = 0.0
        self._waiting: set[object] = set()
        self.reason: str | None = None

    @property
    def seconds(self) -> float:
        """How long it has been away; 0 while it is there."""
        return time.monotonic() - self._since if self._waiting else 0.0

    def failed(self, who: object, error: BaseException) -> None:
        """Notes a try in vain."""
        self.reason = str(error) or type(error).__name__
        if not self._waiting:
            self._since = time.monotonic()
            log.warning("waiting.begins", server=self.server, why=self.reason)
        self._waiting.add(who)
        self._noted(self.server, self.seconds)

    def over(self, who: object) -> None:
        """Notes that somebody waits no longer."""
        if self._waiting == {who}:
            log.warning("waiting.ends", server=self.server, seconds=round(self.seconds, 1))
            self.reason = None
            self._noted(self.server, 0.0)
        self._waiting.discard(who)


Outages = dict[Server, Outage]


def pauses() -> Iterator[float]:
    """Seconds to wait after each try in vain: doubled, up to the longest, for ever."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def may_pass(error: BaseException) -> bool:
    """Whether an error says that a server is away, not that what was asked of it can never be."""
    if isinstance(error, ProducerSendError):
        return error.__cause__ is not None and may_pass(error.__cause__)
    if isinstance(error, KafkaError):
        return error.retriable or isinstance(error, (KafkaTimeoutError, UnknownError))  # these two are marked as final, but pass
    return isinstance(error, (DependencyUnavailable, OSError, TimeoutError))


async def patiently(step: Callable[[], Awaitable[Result]], outage: Outage, given_up: asyncio.Event) -> Result:
    """The step's result, however often it takes. Raises GivenUp after a failure where nobody waits for it any more, and what
    can never pass."""
    who = object()
    try:
        for pause in pauses():
            try:
                return await step()
            except Exception as error:
                if not may_pass(error):
                    raise
                outage.failed(who, error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await given_up.wait()
            if given_up.is_set():
                raise GivenUp
    finally:
        outage.over(who)
    raise AssertionError("pauses do not end")
