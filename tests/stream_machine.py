"""A stream worker on one partition for property tests: read in any batches, killed between any two writes, moved on by time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from contracts.features import CATEGORY_ROLLING, STORE_ROLLING
from contracts.letters import OFFSET, REASON
from contracts.windows import StoreCalendars
from streams.processor import Changes, Incoming, Partition, Work
from streams.sums import Key
from streams.views import Kernel, Touched
from tests.builders import DAY, HOUR, MINUTE, NOON, PARTITIONS

ANY_LATENESS = 400 * DAY
ZONES = ("Europe/London", "Africa/Cairo", "America/Sao_Paulo", "Asia/Kathmandu", "UTC")
STORES = ("s-1", "s-2", "s-3", "s-4", "s-5")
KEYS_OF_SUMS = {STORE_ROLLING.name: ("store_id",), CATEGORY_ROLLING.name: ("store_id", "category_id")}
CALENDARS = StoreCalendars("UTC", dict(zip(STORES, ZONES, strict=True)))


@dataclass
class Machine:
    """A worker on one partition that can be killed between any two writes: what it wrote stays, what it knew is gone."""

    kernel: Kernel
    number: int
    lateness: int
    stored: dict[bytes, bytes] = field(default_factory=dict)
    online: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    sums: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)  # of stores and of their categories
    late: set[int] = field(default_factory=set)
    committed: int = 0
    read_to: int = -1  # in any life
    partition: Partition = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.partition = Partition(
            self.kernel,
            self.number,
            PARTITIONS,
            lambda keys: [self.stored.get(key) for key in keys],
            states="now",
            max_lead_ms=DAY * 4000,
            lateness_ms=self.lateness,
        )
        self.partition.restore(list(self.stored.items()), self.committed)

    def batch(self, messages: list[Incoming], crash: str) -> None:
        self.read_to = max(self.read_to, messages[-1].offset)
        work = self.partition.take(self.partition.decode(messages), NOON)
        self.late.update(int(dict(letter.headers)[OFFSET]) for letter in work.letters)
        if self.write(work, crash):
            self.committed = messages[-1].offset + 1
        else:
            self.restart()

    def tick(self, clock: int, crash: str) -> None:
        caught_up = self.committed > self.read_to  # what comes after that was not sent yet
        if not self.write(self.partition.tick(clock, caught_up), crash):
            self.restart()

    def take_over(self, message: Incoming, crash: str) -> str:
        """Takes over a rebuilt state, again and again until it is acknowledged. Returns what the last letter said of it."""
        while True:
            work = Work(self.number)
            self.partition.take_over([message], work)
            (letter,) = work.letters
            if self.write(work, crash):
                return dict(letter.headers)[REASON].decode()
            self.restart()
            crash = "none"

    def write(self, work: Work, crash: str) -> bool:
        """Writes what a work touched in two parts, rows first, or up to where it crashes. Whether it may be acknowledged."""
        if crash == "before writing":
            return False
        for number, (part, sums) in enumerate(halves(work)):
            changes = self.changes(part, sums)
            self.write_rows(changes)
            if crash == "rows written" and number:
                return False
            self.write_states(changes)
            if crash == "half written":
                return False
        return crash != "not acknowledged"

    def changes(self, touched: list[tuple[Touched, slice]], sums: list[Key]) -> Changes:
        changes = Changes()
        for keys, some in touched:
            self.partition.add(keys, some, changes)
        self.partition.add_sums(sums, slice(None), changes)
        return changes

    def write_rows(self, changes: Changes) -> None:
        self.online.update(
            {(row["store_id"], row["product_id"]): dict(row) for row in changes.rows.get(self.kernel.view.name, ())}
        )
        for view in KEYS_OF_SUMS:
            names = KEYS_OF_SUMS[view]
            self.sums.update({tuple(row[name] for name in names): dict(row) for row in changes.rows.get(view, ())})

    def write_states(self, changes: Changes) -> None:
        self.stored.update(changes.states.get(self.number, {}))


def halves(work: Work) -> list[tuple[list[tuple[Touched, slice]], list[Key]]]:
    """What a work touched, in two parts, of which the second has the sums."""
    cuts = [(touched, len(touched.numbers) // 2) for touched in work.touched]
    first, second = [(touched, slice(cut)) for touched, cut in cuts], [(touched, slice(cut, None)) for touched, cut in cuts]
    return [(first, []), (second, work.sums)]


CRASHES = st.sampled_from(["none", "none", "none", "before writing", "rows written", "half written", "not acknowledged"])
times = st.one_of(
    st.integers(NOON - 40 * DAY, NOON),
    st.integers(NOON - 2 * HOUR, NOON),
    st.integers(-40 * 24, 0).map(lambda hours: NOON + hours * HOUR),  # on the edge of tiles
    st.integers(-60, 0).map(lambda minutes: NOON + 5 * minutes * MINUTE - 1),
)


def unique(events: list[Any]) -> list[Any]:
    """The events with those that reuse an id made copies of its first: an id stands for one event."""
    first: dict[str, Any] = {}
    return [first.setdefault(event.event_id, event) for event in events]


def run(
    machine: Machine, log: list[Incoming], data: st.DataObject, check: Callable[[Machine, list[Incoming]], None] | None = None
) -> None:
    """Reads a log to its end in batches of any size, crashing as it comes, time moving on in between; `check` after each."""
    while left := [message for message in log if message.offset >= machine.committed]:
        size = data.draw(st.integers(1, len(left)), label="batch")
        machine.batch(left[:size], data.draw(CRASHES, label="crash"))
        if check is not None:
            check(machine, log)
        if data.draw(st.booleans(), label="tick"):
            machine.tick(data.draw(st.integers(NOON - DAY, NOON), label="clock"), data.draw(CRASHES, label="crash in tick"))
