"""The streaming views as data: which topic feeds each, what its events do to which keys, and how states become rows.

States are packed bytes, as they are stored; what a batch does to many of them is one call. `processor.py` drives all views alike;
nothing here knows Faust, Kafka or Redis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from contracts.features import View
from contracts.topics import Topic
from featurestore.pieces import Ints, Pieces
from streams.key_table import Key, KeyTable
from streams.sums import Sums

Row = Mapping[str, Any]


class Head(NamedTuple):
    """What the state of any view begins with: the event time (ms) it stands at, the offset of the last event applied, and the one
    up to which it has all events, late ones too, since it was made anew from the archive then. -1: nothing yet."""

    as_of: int
    offset: int
    complete: int


class Settled(NamedTuple):
    """Some states as they are to be stored, without what they no longer need; when the row of each next changes without an event,
    ms (`schedule.NEVER`: it does not); and what makes the rows of some of them."""

    states: Pieces
    due: Ints
    rows: Callable[[slice], Sequence[Row]]


class Touched(NamedTuple):
    """Different keys by number, and what their states come to."""

    numbers: Ints
    settled: Settled


@dataclass(slots=True)
class Taken:
    """What a batch of events did: the keys that one was added to, or that had one already when it was read again; how many of
    them were unknown; how many events were nothing but read again, or repeated an earlier one for a key; the keys that each event
    (by its place) came too late for; and what sums need of it."""

    touched: Touched
    new: int
    replayed: int = 0
    duplicates: int = 0
    late: dict[int, list[Key]] = field(default_factory=dict)
    added: Any = None


class Batch(Protocol):
    """Events to be taken in together."""

    @property
    def numbers(self) -> Ints:
        """The numbers of the keys that the events tell of, once all are there."""
        ...

    def add(self, event: Any, offset: int) -> None:
        """Takes an event in, read at an offset."""
        ...


class Kernel(Protocol):
    """One streaming view."""

    view: View
    topic: Topic

    def split(self, event: Any) -> Iterable[tuple[Key, Any]]:
        """Each key that an event tells of, and an event that tells the same of it and of no other."""
        ...

    def batch(self, keys: KeyTable) -> Batch:
        """A batch without an event, of events that tell of these keys, or of new ones."""
        ...

    def take(self, batch: Any, states: Pieces) -> Taken:
        """What a batch does to the states of its numbers, settled; no byte is the state of a key that nothing was heard of."""
        ...

    def advance(self, states: Pieces, now: int) -> Pieces:
        """States with their as-of time moved on to `now` ms; never back."""
        ...

    def settle(self, keys: Sequence[tuple[str, ...]], states: Pieces) -> Settled:
        """What states come to as of their own time."""
        ...

    def heads(self, states: Pieces) -> Sequence[Head]:
        """What states begin with."""
        ...

    def completed(self, state: bytes, offset: int) -> bytes:
        """A state that was made of all events up to an offset."""
        ...

    def sums(self) -> Sums:
        """The sums over the states of one partition."""
        ...

    def compile(self) -> None:
        """Makes its machine code where there is none yet, which takes some 20 seconds after a change of the source."""
        ...
