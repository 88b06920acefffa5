"""A state made anew from all archived events of its key, the late ones too: how it is made, and how it travels to the worker.

The worker is the only writer of states and rows. So a state that was made elsewhere is sent to it, on a topic beside the events',
with the offset up to which it holds everything; the worker takes it over unless the key has moved on since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from contracts.features import View
from contracts.settings import Settings
from featurestore.pieces import cut, pieces
from streams.kernels import kernels
from streams.key_table import Key, KeyTable, key_in_store, store_key

KEY, FINGERPRINT = "rd360.key", "rd360.fingerprint"
NEVER_LATE_MS = 2**60
PIECE_EVENTS = 2_000  # taken in at once: what no window covers any more is dropped between, or a long history would be slow


class Rebuilt(NamedTuple):
    """A rebuilt state as it was received: its key, the states' fingerprint it was made for, and its bytes."""

    key: Key
    fingerprint: str
    raw: bytes


class Rebuilder:
    """Makes states of one view from archived events."""

    def __init__(self, settings: Settings, view: View) -> None:
        patient = settings.model_copy(update={"allowed_lateness_ms": NEVER_LATE_MS})
        self.kernel, self._patient = (next(k for k in kernels(s) if k.view is view) for s in (settings, patient))

    def state(self, key: Key, parts: Iterable[Any], next_offset: int) -> bytes:
        """The stored state of a key, from what each of its events before `next_offset` says of it, in any order, once or more."""
        distinct = {part.event_id: part for part in reversed(list(parts))}
        ordered = sorted(distinct.values(), key=lambda part: part.event_time)
        state = b""
        for start in range(0, len(ordered), PIECE_EVENTS):
            batch = self._patient.batch(KeyTable())
            for number, part in enumerate(ordered[start : start + PIECE_EVENTS], start):
                batch.add(part, number)  # the order of a partition, which the archive does not keep, is none of a fence's here
            (state,) = cut(self._patient.take(batch, pieces([state])).touched.settled.states)
            state = self._settled(key, state)
        return self._settled(key, self.kernel.completed(state, next_offset - 1))

    def _settled(self, key: Key, state: bytes) -> bytes:
        return cut(self.kernel.settle([key], pieces([state])).states)[0]


def headers(key: Key, states: str) -> list[tuple[str, bytes]]:
    """The headers under which a rebuilt state is sent; `states` is the fingerprint of those that it is one of."""
    return [(KEY, store_key(key)), (FINGERPRINT, states.encode())]


def received(headers: Iterable[tuple[str, bytes]], value: bytes) -> Rebuilt:
    """The rebuilt state in a message."""
    found: Mapping[str, bytes] = dict(headers)
    return Rebuilt(key_in_store(found[KEY]), found[FINGERPRINT].decode(), value)
