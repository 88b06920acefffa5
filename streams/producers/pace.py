"""Holds a sequence back to its own times, read against a clock that can run faster than the events'."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from contracts.clock import Clock, system_clock

T = TypeVar("T")
SLICE_SECONDS = 0.5  # the longest sleep, so that an interrupt is heard


def paced(
    items: Iterable[T],
    time_of: Callable[[T], int],
    speed: float,
    *,
    origin: int | None = None,
    clock: Clock = system_clock,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[T]:
    """The items, each no earlier than its time (ms), `speed` times as fast as real time; 0 is as fast as it goes.

    The first item, or the event time `origin`, is now. An item behind its time comes at once.
    """
    started = clock()
    for item in items:
        if speed > 0:
            at = time_of(item)
            origin = at if origin is None else origin
            due = started + (at - origin) / speed
            while (wait := due - clock()) > 0:
                sleep(min(wait / 1000, SLICE_SECONDS))
        yield item
