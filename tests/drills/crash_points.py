"""The places at which a drilled worker ends itself by SIGKILL, as if the machine had gone: production code has no hook for it."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import faust

import streams.worker
from featurestore.row_writer import RowWriter
from streams.changelog import Record
from streams.flusher import Flusher
from streams.processor import Partition
from streams.table import StateTable

States = Mapping[int, Sequence[Record]]
Arm = Callable[[Callable[[], bool]], None]  # is given what says, at each pass, whether this is the one


def arm(place: str, passes: int) -> None:
    """Ends this process at the so-manieth pass of a place."""
    left = itertools.count(passes - 1, -1)
    PLACES[place](lambda: next(left) == 0)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _before_flush(now: Callable[[], bool]) -> None:
    """A batch is in the states in memory, and nothing of it is written."""
    take = Partition.take

    def taken(self: Partition, *arguments: Any) -> Any:
        work = take(self, *arguments)
        if work.touched and now():
            _die()
        return work

    _replace(Partition, "take", taken)


def _in_rows(now: Callable[[], bool]) -> None:
    """Half of a part's rows are online."""
    write_each = RowWriter.write_each

    def half(self: RowWriter, parts: Iterable[Mapping[str, Any]]) -> Iterator[None]:
        def cut() -> Iterator[Mapping[str, Any]]:
            for part in parts:
                if any(part.values()) and now():
                    for view, rows in part.items():
                        self.write(view, rows[: len(rows) // 2])
                    _die()
                yield part

        return write_each(self, cut())

    _replace(RowWriter, "write_each", half)


def _before_changelog(now: Callable[[], bool]) -> None:
    """The rows of a part may be online, and its states are not stored."""
    put = StateTable.put

    async def put_not(self: StateTable, states: States) -> None:
        if now():
            _die()
        await put(self, states)

    _replace(StateTable, "put", put_not)


def _in_changelog(now: Callable[[], bool]) -> None:
    """Half of a part's states are stored, on Kafka and here."""
    put = StateTable.put

    async def half(self: StateTable, states: States) -> None:
        if now():
            await put(self, {n: some[: len(some) // 2] for n, some in states.items()})
            _die()
        await put(self, states)

    _replace(StateTable, "put", half)


class _OnceRead(list[Record]):
    """States that end the process when they are asked for a second time: sent to Kafka, not yet written here."""

    asked = 0

    def __iter__(self) -> Iterator[Record]:
        self.asked += 1
        if self.asked > 1:
            _die()
        return super().__iter__()


def _after_changelog(now: Callable[[], bool]) -> None:
    """The states of a part are on Kafka, acknowledged, and not in RocksDB."""
    put = StateTable.put

    async def put_there(self: StateTable, states: States) -> None:
        await put(self, {n: _OnceRead(some) for n, some in states.items()} if now() else states)

    _replace(StateTable, "put", put_there)


def _after_flush(now: Callable[[], bool]) -> None:
    """All of a batch is written, and none of it acknowledged."""
    read_to = Flusher._read_to

    async def written(self: Flusher, written: Any, events: Any) -> None:
        await read_to(self, written, events)
        if events and now():
            _die()

    _replace(Flusher, "_read_to", written)


def _in_recovery(now: Callable[[], bool]) -> None:
    """Some of the changelog is read back and stored. For a worker that has lost its local state."""
    restore = StateTable.restore

    def restored(self: StateTable, polls: Any) -> None:
        restore(self, polls)
        if now():
            _die()

    _replace(StateTable, "restore", restored)


def _in_restore(now: Callable[[], bool]) -> None:
    """Some of the stored states are in memory again."""
    restore = Partition.restore

    def half(self: Partition, stored: Any, next_offset: int) -> None:
        states = list(stored)
        restore(self, states[: len(states) // 2], next_offset)
        if states and now():
            _die()
        restore(self, states, next_offset)

    _replace(Partition, "restore", half)


def _at_assignment(now: Callable[[], bool]) -> None:
    """In a rebalance: it has joined, and has just been given partitions."""
    _on_app(lambda app: app.on_partitions_assigned, now)


def _at_revocation(now: Callable[[], bool]) -> None:
    """In a rebalance: another worker joins, and its partitions have just been taken away."""
    _on_app(lambda app: app.on_partitions_revoked, now)


def _on_app(signal_of: Callable[[faust.App], Any], now: Callable[[], bool]) -> None:
    build = streams.worker.build

    def built(*arguments: Any) -> Any:
        app, flushers = build(*arguments)

        async def on_signal(_: Any, partitions: Any, **__: Any) -> None:
            if partitions and now():
                _die()

        signal_of(app).connect(on_signal, weak=False)
        return app, flushers

    _replace(streams.worker, "build", built)


def _replace(owner: Any, name: str, by: Any) -> None:
    getattr(owner, name)  # what is not there any more must be an error here, not a place that is never passed
    setattr(owner, name, by)


PLACES: Mapping[str, Arm] = {
    "before_flush": _before_flush,
    "in_rows": _in_rows,
    "before_changelog": _before_changelog,
    "in_changelog": _in_changelog,
    "after_changelog": _after_changelog,
    "after_flush": _after_flush,
    "in_recovery": _in_recovery,
    "in_restore": _in_restore,
    "at_assignment": _at_assignment,
    "at_revocation": _at_revocation,
}
