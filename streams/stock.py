"""The kernel of `stock`: units on hand of one store × product and the hours without any, from counts and movements in any order.

The latest count stands, and the movements after it are added. Movements alone make no stock. Events compare by (event_time,
event_id), so that the order of arrival does not matter. Sales are not subtracted: a store's own counts do that.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from contracts.events import InventoryEvent
from contracts.windows import DAY_MS, HOUR_MS, WINDOWS, Calendar
from streams.admission import Admission, Outcome, digest

Move = tuple[int, str, bool, int]  # event_time, event_id, whether it is a count, quantity
Span = tuple[int, int]  # from, until, ms
WINDOW = WINDOWS["28d"]
SILENT_DAYS = 364  # a stock without any event for so long is given up: its row is no longer refreshed every day


class Level(NamedTuple):
    """Units on hand from an instant on (ms), and the instant of the count they rest on. No units before the first count."""

    units: int | None = None
    since: int = 0
    counted: int | None = None

    def after(self, move: Move) -> Level:
        """The level after an event that is later than this one's."""
        event_time, _, is_count, quantity = move
        if is_count:
            return Level(quantity, event_time, event_time)
        return Level(None if self.units is None else self.units + quantity, event_time, self.counted)


class StockState(Admission, array_like=True):
    """One store × product: its level and the spans without stock as of the events that none to come can precede (`folded`,
    `out`), and the later ones."""

    folded: tuple[int | None, int, int | None] = (None, 0, None)  # the fields of Level
    out: list[Span] = msgspec.field(default_factory=list)
    moves: list[Move] = msgspec.field(default_factory=list)
    heard: int = 0


def apply(state: StockState, event: InventoryEvent, offset: int, lateness: int) -> Outcome:
    """Takes a count or a movement into the state, unless it was taken before or comes too late."""
    outcome = state.admit(digest(event.event_id), event.event_time, offset, lateness)
    if outcome == "applied":
        state.heard = max(state.heard, event.event_time)
        state.moves.append((event.event_time, event.event_id, event.kind == "count", event.quantity))
    return outcome


def settle(state: StockState, calendar: Calendar, lateness: int) -> tuple[int | None, dict[str, Any]]:
    """Folds the events that no event still to come can precede. Returns when the row next changes by itself, and its features
    by name."""
    state.forget(lateness)
    state.moves.sort()
    oldest, first_ms = state.as_of - lateness, calendar.window_start(WINDOW, state.as_of)
    settled = [move for move in state.moves if move[0] < oldest]
    if settled:
        level, spans = _walk(Level(*state.folded), settled)
        state.folded, state.moves = (level.units, level.since, level.counted), state.moves[len(settled) :]
        state.out += spans
    state.out = [span for span in state.out if span[1] > first_ms]
    return due(state, calendar), _features(state, first_ms)


def due(state: StockState, calendar: Calendar) -> int | None:
    """The next local midnight, at which a row is written again: its window moves on, and its age shows a living writer."""
    if state.as_of - state.heard >= SILENT_DAYS * DAY_MS:
        return None
    return calendar.day_start(calendar.day(state.as_of) + 1)


def _features(state: StockState, first_ms: int) -> dict[str, Any]:
    level, spans = _walk(Level(*state.folded), state.moves)
    if level.units is None:
        return {"on_hand": None, "counted_ms": None, "hours_out_of_stock_28d": None}
    running = [(level.since, state.as_of)] if level.units <= 0 else []
    out_ms = sum(max(until - max(since, first_ms), 0) for since, until in (*state.out, *spans, *running))
    return {"on_hand": level.units, "counted_ms": level.counted, "hours_out_of_stock_28d": out_ms / HOUR_MS}


def _walk(level: Level, moves: Iterable[Move]) -> tuple[Level, list[Span]]:
    """The level after some events, given in order, and the spans up to the last of them in which nothing was on hand."""
    spans: list[Span] = []
    for move in moves:
        if level.units is not None and level.units <= 0 and move[0] > level.since:
            spans.append((level.since, move[0]))
        level = level.after(move)
    return level, spans
