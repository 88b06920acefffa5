"""One partition of one view: messages in, what to write out. Pure; `flusher.py` does the writing.

`take` moves states on in memory, `add` makes rows and states to store of them, some keys at a time. States are ahead of the
store in between: whoever fails to write what a `Work` touched must forget the whole partition (`restore`, or end the process),
since its messages were not acknowledged and come again; `forget` only what is written. All states are packed, as they are stored.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from contracts.errors import InvalidEvent
from contracts.letters import LateReason
from contracts.topics import Delivery, accept
from featurestore.pieces import Ints, Pieces, cut, pieces
from featurestore.row_block import joined
from streams.key_table import KeyTable
from streams.letters import Letter, dead_letter, late_letter, outcome_letter
from streams.rebuilt import received
from streams.schedule import Schedule
from streams.state_cache import Load, StateCache
from streams.sums import NOTHING_YET
from streams.sums import Key as SumKey
from streams.views import Kernel, Row, Settled, Taken, Touched

RESTORE_KEYS = 1_000  # states read in one go while a partition is restored
TICK_KEYS = 2_000  # keys advanced in one go: what a flush takes well under a second for
QUIET_MS = 30_000  # no old event for so long, and a backfill is over


class Incoming(NamedTuple):
    """One message as it was read."""

    topic: str
    partition: int
    offset: int
    kafka_time: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Decoded:
    """One batch of a partition's messages before it is taken: its events as the kernel takes them and the numbers of their keys,
    the messages that they are of and their times (ms), the last offset, and letters about what is no event, counted by
    `dead:<reason>`."""

    batch: Any
    numbers: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    read: list[Incoming] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    read_to: int = NOTHING_YET
    letters: list[Letter] = field(default_factory=list)
    dead: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Work:
    """What one batch or one tick does to a partition: the keys that it touched, in the order in which they are to be written, the
    sums over them, letters to send, and how many of what."""

    partition: int
    touched: list[Touched] = field(default_factory=list)
    sums: list[SumKey] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # events, duplicates, late, replayed, dead:<reason>
    more: bool = False  # a tick left keys for the next


@dataclass(slots=True)
class Changes:
    """What is to be written: rows by view, and by partition stored keys with their states."""

    rows: dict[str, Sequence[Row]] = field(default_factory=dict)
    states: dict[int, list[tuple[bytes, bytes]]] = field(default_factory=dict)


class Partition:
    """The states of one partition of a view, its stream time, and when its rows next change by themselves. `states` is their
    fingerprint: one that was rebuilt for others is left alone.

    Stream time is the watermark, the latest event time seen. It is the wall clock once the partition is live: read to Kafka's
    end, its watermark recent, and no old event seen for a while. History that is replayed is never mixed with the clock.
    """

    def __init__(
        self,
        kernel: Kernel,
        number: int,
        partitions: int,
        load: Load,
        *,
        states: str,
        max_lead_ms: int,
        lateness_ms: int,
    ) -> None:
        self.kernel, self.number, self.partitions, self._states = kernel, number, partitions, states
        self._max_lead, self._lateness = max_lead_ms, lateness_ms
        self._table, self._schedule = KeyTable(), Schedule()
        self._cache = StateCache(self._table, load, partitions)
        self._sums = kernel.sums()
        self._old_event_at = self._back_at = -QUIET_MS
        self.watermark: int | None = None
        self.keys = 0

    def restore(self, stored: Iterable[tuple[bytes, bytes]], next_offset: int) -> None:
        """Begins anew from the stored states: watermark and schedule follow from them. What comes next has `next_offset`."""
        self.forget()
        self._schedule.clear()
        self._sums.clear()
        self._sums.read_to = next_offset - 1
        self.watermark, self.keys = None, 0
        left = iter(stored)
        while some := list(itertools.islice(left, RESTORE_KEYS)):
            numbers, states = self._table.numbers(pieces([raw_key for raw_key, _ in some])), pieces([raw for _, raw in some])
            self.keys += len(numbers)
            self._cache.keep(numbers, states)
            if self.is_full:
                self.forget()
            self.watermark = max(self.watermark or 0, *(head.as_of for head in self.kernel.heads(states)))
            self._schedule.note(numbers, self._settled(numbers, states).due)
            self._sums.restore(self._table.block(numbers), states)

    def decode(self, messages: Iterable[Incoming]) -> Decoded:
        """A batch of this partition's messages, in the order of their offsets, to be taken.

        This gives numbers to new keys, and changes nothing else: it may go on in a thread while the batch before is taken.
        """
        found = Decoded(self.kernel.batch(self._table))
        for message in messages:
            found.read_to = message.offset
            try:
                event = self._accept(message)
            except InvalidEvent as refused:
                found.dead[f"dead:{refused.reason}"] += 1
                found.letters.append(dead_letter(message, refused))
                continue
            found.batch.add(event, message.offset)
            found.read.append(message)
            found.times.append(event.event_time)
        found.numbers = found.batch.numbers
        return found

    def take(self, decoded: Decoded, clock: int) -> Work:
        """The changes of the next batch."""
        work = Work(self.number, letters=decoded.letters, counts=decoded.dead)
        self._sums.read_to = max(self._sums.read_to, decoded.read_to)
        for event_time in decoded.times:
            self._observe(event_time, clock)
        if decoded.read:
            self._apply(self.kernel.take(decoded.batch, self._cache.get(decoded.numbers)), decoded.read, work)
        work.sums = self._sums.changed()
        return work

    def take_over(self, messages: Iterable[Incoming], work: Work) -> None:
        """Adds to a batch the rebuilt states that came with it: each stands for all events up to its offset, late ones too.

        A key that has taken an event beyond that offset keeps its own state, and a letter says so.
        """
        taken: dict[int, bytes] = {}
        for message in messages:
            rebuilt = received(message.headers, message.value or b"")
            if rebuilt.fingerprint != self._states:
                work.counts["foreign"] += 1
                continue
            number = self._table.number(rebuilt.key)
            at = np.array([number], np.int64)
            (current,) = cut(self._cache.get(at))
            head, own = self.kernel.heads(pieces([rebuilt.raw, current]))
            reason: LateReason = "healed"
            if own.complete >= head.offset:  # it was taken over before a crash
                taken[number] = current
            elif own.offset > head.offset:
                reason = "moved_on"
            else:
                (state,) = cut(self.kernel.advance(pieces([rebuilt.raw]), own.as_of))
                self._sums.replace(rebuilt.key, current, state)
                self.keys += own.offset == NOTHING_YET
                self._cache.keep(at, pieces([state]))
                taken[number] = state
            work.counts[reason] += 1
            about = json.dumps([list(rebuilt.key)]).encode()
            work.letters.append(outcome_letter(message, reason, about, head.offset))
        self._touch(np.array(list(taken), np.int64), pieces(list(taken.values())), work)
        work.sums = list(dict.fromkeys([*work.sums, *self._sums.changed()]))

    def tick(self, clock: int, caught_up: bool) -> Work:
        """The rows that time alone has changed. Nothing while there is a backlog: the batches to come move time on themselves."""
        work = Work(self.number)
        now = self.now(clock, caught_up)
        if now is None:
            return work
        due = self._schedule.due(now, TICK_KEYS)
        work.more = len(due) == TICK_KEYS
        numbers = self._still_due(due, now)
        states = self.kernel.advance(self._cache.get(numbers), now)
        self._touch(numbers, states, work)
        work.sums = self._sums.advance(now)
        return work

    def add(self, touched: Touched, some: slice, changes: Changes) -> None:
        """Adds what some touched keys change."""
        view, settled = self.kernel.view.name, touched.settled
        changes.rows[view] = joined(changes.rows.get(view), settled.rows(some))
        stored = cut(self._table.stored(touched.numbers[some]))
        changes.states.setdefault(self.number, []).extend(zip(stored, cut(settled.states.some(some)), strict=True))

    def add_sums(self, keys: Sequence[SumKey], some: slice, changes: Changes) -> None:
        """Adds the rows of some sums."""
        for view, rows in self._sums.settle(keys[some]).items():
            changes.rows[view] = joined(changes.rows.get(view), rows)

    @property
    def is_full(self) -> bool:
        """Whether more states are in memory than should be."""
        return self._cache.is_full

    def forget(self) -> None:
        """Lets go of all states in memory. All that was touched must be in the store."""
        self._cache.forget()

    def rewrite(self, stored_keys: Iterable[bytes]) -> Changes:
        """The rows of some stored keys as their states are at this moment."""
        numbers = self._table.numbers(pieces(list(stored_keys)))
        return Changes({self.kernel.view.name: self._settled(numbers, self._cache.get(numbers)).rows(slice(None))})

    def sum_keys(self) -> list[SumKey]:
        """The keys of all sums."""
        return self._sums.keys()

    def rewrite_sums(self, keys: Iterable[SumKey]) -> Changes:
        """The rows of some sums as they are at this moment."""
        changes = Changes()
        self.add_sums(self._sums.some(keys), slice(None), changes)
        return changes

    def now(self, clock: int, caught_up: bool) -> int | None:
        """Stream time, ms; None where there is none yet, a backlog is ahead, or two times are told at once.

        The last is a second history replayed into a partition that is further: its keys would be taken out of their own time.
        """
        if self.watermark is None or not caught_up or clock - self._back_at < QUIET_MS:
            return None
        return clock if self.is_live(clock, caught_up) else self.watermark

    def is_live(self, clock: int, caught_up: bool) -> bool:
        """Whether the wall clock is this partition's time."""
        recent = self.watermark is not None and clock - self.watermark <= self._lateness
        return caught_up and recent and clock - self._old_event_at >= QUIET_MS

    def _accept(self, message: Incoming) -> Any:
        delivery = Delivery(message.key, message.partition, message.kafka_time, self.partitions)
        return accept(self.kernel.topic, message.value, delivery, self._max_lead)

    def _apply(self, taken: Taken, read: Sequence[Incoming], work: Work) -> None:
        if len(taken.touched.numbers):
            self._note(taken.touched, work)
        self.keys += taken.new
        self._sums.add(taken.added)
        for number, keys in sorted(taken.late.items()):
            work.letters.append(late_letter(read[number], json.dumps([list(key) for key in keys]).encode()))
        work.counts["events"] += len(read)
        work.counts["late"] += len(taken.late)
        work.counts["replayed"] += taken.replayed
        work.counts["duplicates"] += taken.duplicates

    def _touch(self, numbers: Ints, states: Pieces, work: Work) -> None:
        """Settles the states of different keys, and has a work touch them."""
        if len(numbers):
            self._note(Touched(numbers, self._settled(numbers, states)), work)

    def _note(self, touched: Touched, work: Work) -> None:
        """Has a work touch keys: puts their states in place of those that they had, each noted for when its row next changes."""
        self._cache.keep(touched.numbers, touched.settled.states)
        self._schedule.note(touched.numbers, touched.settled.due)
        work.touched.append(touched)

    def _observe(self, event_time: int, clock: int) -> None:
        if self.watermark is not None and event_time < self.watermark - self._lateness:
            self._back_at = clock
        self.watermark = event_time if self.watermark is None else max(self.watermark, event_time)
        if clock - event_time > self._lateness:
            self._old_event_at = clock

    def _still_due(self, numbers: Ints, now: int) -> Ints:
        """Those whose rows do change by now; an event may have put the others off, which are noted for when theirs do."""
        due = self._settled(numbers, self._cache.get(numbers)).due
        put_off = due > now
        self._schedule.note(numbers[put_off], due[put_off])
        return numbers[~put_off]

    def _settled(self, numbers: Ints, states: Pieces) -> Settled:
        return self.kernel.settle(self._table.block(numbers), states)
