"""One partition of one view: messages in, what to write out. Pure; `flusher.py` does the writing.

`take` moves states on in memory, `settle` makes rows and states to store of them, some keys at a time. States are ahead of the
store in between: whoever fails to write what a `Work` touched must forget the whole partition (`restore`, or end the process),
since its messages were not acknowledged and come again; `forget` only what is written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import InvalidEvent
from contracts.letters import LateReason
from contracts.topics import Delivery, accept
from streams.admission import NOTHING_YET
from streams.letters import Letter, dead_letter, late_letter, outcome_letter
from streams.rebuilt import received
from streams.schedule import Schedule
from streams.sums import Key as SumKey
from streams.sums import Sum
from streams.views import Kernel, Key, Row, key_in_store, row, store_key

CACHE_KEYS = 100_000  # decoded states kept per partition, a few hundred bytes to a few KB each
TICK_KEYS = 2_000  # keys advanced in one go: what a flush takes well under a second for
QUIET_MS = 30_000  # no old event for so long, and a backfill is over


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it was read."""

    topic: str
    partition: int
    offset: int
    kafka_time: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(slots=True)
class Work:
    """What one batch or one tick does to a partition: the states and the sums over them that it touched, letters to send, and how
    many of what."""

    partition: int
    touched: dict[Key, Any] = field(default_factory=dict)
    sums: dict[SumKey, Sum] = field(default_factory=dict)
    letters: list[Letter] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # events, duplicates, late, replayed, dead:<reason>
    more: bool = False  # a tick left keys for the next


@dataclass(slots=True)
class Changes:
    """What is to be written: rows by view, and states by partition and stored key."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    states: dict[int, dict[bytes, bytes]] = field(default_factory=dict)


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
        load: Callable[[bytes], bytes | None],
        *,
        states: str,
        max_lead_ms: int,
        lateness_ms: int,
    ) -> None:
        self.kernel, self.number, self.partitions, self._states = kernel, number, partitions, states
        self._load, self._max_lead, self._lateness = load, max_lead_ms, lateness_ms
        self._cache: dict[Key, Any] = {}
        self._schedule: Schedule[Key] = Schedule()
        self._sums = kernel.sums()
        self._old_event_at = self._back_at = -QUIET_MS
        self.watermark: int | None = None
        self.keys = 0

    def restore(self, stored: Iterable[tuple[bytes, bytes]], next_offset: int) -> None:
        """Begins anew from the stored states: watermark and schedule follow from them. What comes next has `next_offset`."""
        self._cache.clear()
        self._schedule.clear()
        self._sums.clear()
        self._sums.read_to = next_offset - 1
        self.watermark, self.keys = None, 0
        for raw_key, raw in stored:
            key, state = key_in_store(raw_key), self.kernel.decode(raw)
            self.keys += 1
            self.watermark = max(self.watermark or 0, state.as_of)
            self._schedule.note(key, self.kernel.due(key, state))
            self._sums.restore(key[0], state)

    def take(self, messages: Iterable[Incoming], clock: int) -> Work:
        """The changes of a batch of this partition's messages, in the order of their offsets."""
        work = Work(self.number)
        for message in messages:
            self._sums.read_to = message.offset
            try:
                event = self._accept(message)
            except InvalidEvent as refused:
                work.counts[f"dead:{refused.reason}"] += 1
                work.letters.append(dead_letter(message, refused))
                continue
            work.counts["events"] += 1
            self._apply(message, event, work)
            self._observe(event.event_time, clock)
        work.sums = self._sums.changed()
        return work

    def take_over(self, messages: Iterable[Incoming], work: Work) -> None:
        """Adds to a batch the rebuilt states that came with it: each stands for all events up to its offset, late ones too.

        A key that has taken an event beyond that offset keeps its own state, and a letter says so.
        """
        for message in messages:
            rebuilt = received(message.headers, message.value or b"")
            if rebuilt.fingerprint != self._states:
                work.counts["foreign"] += 1
                continue
            state, current = self.kernel.decode(rebuilt.raw), self._state(rebuilt.key)
            reason: LateReason = "healed"
            if current.complete >= state.offset:  # it was taken over before a crash
                work.touched[rebuilt.key] = current
            elif current.offset > state.offset:
                reason = "moved_on"
            else:
                state.as_of = max(state.as_of, current.as_of)
                self._sums.replace(rebuilt.key[0], current, state)
                self.keys += current.offset == NOTHING_YET
                self._cache[rebuilt.key] = work.touched[rebuilt.key] = state
            work.counts[reason] += 1
            about = json.dumps([list(rebuilt.key)]).encode()
            work.letters.append(outcome_letter(message, reason, about, state.offset))
        work.sums |= self._sums.changed()

    def tick(self, clock: int, caught_up: bool) -> Work:
        """The rows that time alone has changed. Nothing while there is a backlog: the batches to come move time on themselves."""
        work = Work(self.number)
        now = self.now(clock, caught_up)
        if now is None:
            return work
        while not work.more and (key := self._schedule.next_due(now)) is not None:
            state = self._state(key)
            due = self.kernel.due(key, state)
            if due is not None and due <= now:
                self.kernel.advance(state, now)
                work.touched[key] = state
                work.more = len(work.touched) >= TICK_KEYS
            else:
                self._schedule.note(key, due)
        work.sums = self._sums.advance(now)
        return work

    def settle(self, touched: Iterable[tuple[Key, Any]], changes: Changes) -> None:
        """Adds what some of the touched states change."""
        states, rows = changes.states.setdefault(self.number, {}), changes.rows.setdefault(self.kernel.view.name, [])
        for key, state in touched:
            rows.append(self._row(key, state))
            states[store_key(key)] = self.kernel.encode(state)

    def settle_sums(self, sums: Iterable[tuple[SumKey, Sum]], changes: Changes) -> None:
        """Adds the rows of some sums."""
        for key, one in sums:
            changes.rows.setdefault(one.view.name, []).append(self._sums.row(key, one))

    @property
    def is_full(self) -> bool:
        """Whether more states are in memory than should be."""
        return len(self._cache) > CACHE_KEYS

    def forget(self) -> None:
        """Lets go of all states in memory. All that was touched must be in the store."""
        self._cache.clear()

    def rewrite(self, stored_keys: Iterable[bytes]) -> Changes:
        """The rows of some stored keys as their states are at this moment."""
        return Changes({self.kernel.view.name: [self._row(key, self._state(key)) for key in map(key_in_store, stored_keys)]})

    def sum_keys(self) -> list[SumKey]:
        """The keys of all sums."""
        return self._sums.keys()

    def rewrite_sums(self, keys: Iterable[SumKey]) -> Changes:
        """The rows of some sums as they are at this moment."""
        changes = Changes()
        self.settle_sums(self._sums.some(keys).items(), changes)
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

    def _apply(self, message: Incoming, event: Any, work: Work) -> None:
        touched = work.touched
        late: list[Key] = []
        added: list[Any] = []
        fresh = duplicate = False
        for key, part in self.kernel.split(event):
            state = touched.get(key)
            if state is None:
                state = self._state(key)
            new = state.offset == NOTHING_YET
            outcome = self.kernel.apply(state, part, message.offset)
            if outcome == "applied":
                touched[key] = state
                self.keys += new
                added.append(part)
            elif outcome == "replayed":  # what was read before a crash may not have been written then
                touched[key] = state
            elif outcome == "late":
                late.append(key)
                fresh = True
            else:
                fresh = duplicate = True
        if added:
            self._sums.add(key[0], added, message.offset)
            fresh = True
        if late:
            work.counts["late"] += 1
            work.letters.append(late_letter(message, json.dumps([list(key) for key in late]).encode()))
        work.counts["replayed"] += not fresh
        work.counts["duplicates"] += duplicate

    def _observe(self, event_time: int, clock: int) -> None:
        if self.watermark is not None and event_time < self.watermark - self._lateness:
            self._back_at = clock
        self.watermark = event_time if self.watermark is None else max(self.watermark, event_time)
        if clock - event_time > self._lateness:
            self._old_event_at = clock

    def _state(self, key: Key) -> Any:
        state = self._cache.get(key)
        if state is None:
            raw = self._load(store_key(key))
            state = self.kernel.empty() if raw is None else self.kernel.decode(raw)
            self._cache[key] = state
        return state

    def _row(self, key: Key, state: Any) -> Row:
        due, features = self.kernel.settle(key, state)
        self._schedule.note(key, due)
        return row(self.kernel.layout, key, state, features)
