"""gold.returns by a walk over the lines with a stack of the units sold: slow, obvious, without the lake's own code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Piece = tuple[str, int, str | None, int | None, int, float | None]
"""Event and line of the return, event and line of the sale or neither, units, hours between."""


@dataclass(frozen=True, slots=True)
class Line:
    """One receipt line."""

    store_id: str
    product_id: str
    unit_price: int
    event_time_ms: int
    event_id: str
    line_number: int
    quantity: int


def returns(lines: Iterable[Line]) -> list[Piece]:
    """Each return's pieces, the latest sale's first; what is left of it without a sale last."""
    stacks: dict[tuple[str, str, int], list[list[Line]]] = {}
    pieces: list[Piece] = []
    for line in sorted(lines, key=lambda line: (line.event_time_ms, line.event_id, line.line_number)):
        stack = stacks.setdefault((line.store_id, line.product_id, line.unit_price), [])
        if line.quantity > 0:
            stack.append([line] * line.quantity)
            continue
        wanted = -line.quantity
        while wanted and stack:
            there = stack[-1]
            sale, units = there[0], min(len(there), wanted)
            hours = (line.event_time_ms - sale.event_time_ms) / 3_600_000
            pieces.append((line.event_id, line.line_number, sale.event_id, sale.line_number, units, hours))
            del there[:units]
            wanted -= units
            if not there:
                stack.pop()
        if wanted:
            pieces.append((line.event_id, line.line_number, None, None, wanted, None))
    return pieces
