"""Fills the online store again where it may lack rows: emptied, replaced or restarted, while events go on.

The states of a partition are complete and its worker is the one writer of its rows, so every row is computed from the state of
the moment at which it is written: it never goes back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from featurestore.fill import FillMarks, open_fill_marks
from streams.flusher import Flusher
from streams.kernels import kernels
from streams.metrics import Metrics
from streams.patience import GivenUp, Outage

POLL_SECONDS = 0.2
log = structlog.get_logger("rd360.streams")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The online rows of all streaming views, written anew."""

    rows: int
    partitions: int
    seconds: float


def rebuild_online(settings: Settings, timeout: float) -> Rebuilt:
    """Has the worker write all its online rows again, and waits for it. Raises DependencyUnavailable when it has not after
    `timeout` seconds."""
    marks, started = open_fill_marks(settings), time.monotonic()
    wanted = [(kernel.view.name, number) for kernel in kernels(settings) for number in range(settings.topic_partitions)]
    marks.clear()
    while lacking := [place for place in wanted if (filled := marks.read()).lacks(place)]:
        if time.monotonic() - started > timeout:
            raise DependencyUnavailable(
                f"{len(lacking)} of {len(wanted)} partitions are not filled after {timeout:.0f} s",
                doing="writing the online rows again",
                why="the stream worker does that, from its own states",
                hint="Does it run? `./rd360 status`, `./rd360 logs worker`. It goes on filling; --timeout waits longer.",
            )
        time.sleep(POLL_SECONDS)
    rows = sum(filled.marks[place].rows for place in wanted)
    return Rebuilt(rows, len(wanted), round(time.monotonic() - started, 1))


class Refill:
    """Looks at the marks of this worker's partitions, and fills those that lack one."""

    def __init__(self, flushers: Sequence[Flusher], marks: FillMarks, outage: Outage, metrics: Metrics) -> None:
        self._flushers, self._marks, self._outage, self._metrics = flushers, marks, outage, metrics

    async def check(self, *, blank_only: bool = False) -> None:
        """Fills what lacks rows. A store that does not answer is noted, and looked at again with the next check.

        With `blank_only`, partitions without any key alone. Before anything is taken that makes their marks and costs nothing;
        later all that was taken until then would be written once more.
        """
        try:
            filled = await asyncio.to_thread(self._marks.read)
            for flusher in self._flushers:
                view = flusher.kernel.view.name
                for number in flusher.blank if blank_only else flusher.assigned:
                    if filled.lacks((view, number)):
                        await self._fill(flusher, view, number)
        except DependencyUnavailable as error:
            self._outage.failed(self, error)
        except GivenUp:
            return  # the partition is filled by whoever has it now
        else:
            self._outage.over(self)

    async def _fill(self, flusher: Flusher, view: str, number: int) -> None:
        started = time.monotonic()
        token = await asyncio.to_thread(self._marks.begin, (view, number))
        rows = await flusher.rewrite(number)
        done = await asyncio.to_thread(self._marks.finish, (view, number), token, rows)
        self._metrics.refilled(view, rows)
        if rows:
            seconds = round(time.monotonic() - started, 1)
            log.info("refill.done" if done else "refill.again", view=view, partition=number, rows=rows, seconds=seconds)
