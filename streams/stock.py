"""The kernel of `stock`: units on hand of one store × product, from counts and movements in any order.

The latest count stands, and the movements after it are added. Movements alone make no stock. Events compare by (event_time,
event_id), so that the order of arrival does not matter. Sales are not subtracted: a store's own counts do that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.events import InventoryEvent
from streams.admission import Admission, Outcome, digest

Move = tuple[int, str, int]  # event_time, event_id, quantity


class StockState(Admission, array_like=True):
    """One store × product: its latest count, the sum of movements that no count to come can precede, and those it may."""

    count: Move | None = None
    folded: int = 0
    moves: list[Move] = msgspec.field(default_factory=list)


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(StockState)


def encode(state: StockState) -> bytes:
    """A state as it is stored."""
    return _ENCODER.encode(state)


def decode(raw: bytes) -> StockState:
    """The state in `raw`."""
    return _DECODER.decode(raw)


def apply(state: StockState, event: InventoryEvent, offset: int, lateness: int) -> Outcome:
    """Takes a count or a movement into the state, unless it was taken before or comes too late."""
    outcome = state.admit(digest(event.event_id), event.event_time, offset, lateness)
    if outcome != "applied":
        return outcome
    entry = (event.event_time, event.event_id, event.quantity)
    if event.kind != "count":
        if state.count is None or entry[:2] > state.count[:2]:
            state.moves.append(entry)
    elif state.count is None or entry[:2] > state.count[:2]:
        # What is folded is older than any count that is not late, so this count has seen it.
        state.count, state.folded = entry, 0
        state.moves = [move for move in state.moves if move[:2] > entry[:2]]
    return outcome


def settle(state: StockState, lateness: int) -> None:
    """Folds the movements that every count still to come has seen."""
    state.forget(lateness)
    oldest = state.as_of - lateness
    if any(move[0] < oldest for move in state.moves):
        state.folded += sum(move[2] for move in state.moves if move[0] < oldest)
        state.moves = [move for move in state.moves if move[0] >= oldest]


def features(state: StockState) -> dict[str, Any]:
    """The features of the view as of `state.as_of`, by name; both null before the first count."""
    if state.count is None:
        return {"on_hand": None, "counted_ms": None}
    moved = state.folded + sum(move[2] for move in state.moves)
    return {"on_hand": state.count[2] + moved, "counted_ms": state.count[0]}
