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
    sale_id: str | None = None


def returns(lines: Iterable[Line]) -> list[Piece]:
    """Each return's pieces, the latest sale's first; what is left of it without a sale last.

    A line that names its sale takes units off the stack as any other does, but its piece is that sale's, as far as the returns
    before it that name it left any.
    """
    stacks: dict[tuple[str, str, int], list[list[Line]]] = {}
    receipts = _receipts(lines)
    pieces: list[Piece] = []
    for line in sorted(lines, key=lambda line: (line.event_time_ms, line.event_id, line.line_number)):
        stack = stacks.setdefault((line.store_id, line.product_id, line.unit_price), [])
        if line.quantity > 0:
            stack.append([line] * line.quantity)
            continue
        plausible = _taken_off(stack, line)
        pieces += plausible if line.sale_id is None else _named(receipts.get(_sale_of(line), []), line)
    return pieces


def _receipts(lines: Iterable[Line]) -> dict[tuple[str, str, str | None], list[Line]]:
    """The units that each receipt sold of each product, under the receipt's first line of it."""
    receipts: dict[tuple[str, str, str | None], list[Line]] = {}
    for line in sorted((line for line in lines if line.quantity > 0), key=lambda line: line.line_number):
        units = receipts.setdefault((line.store_id, line.product_id, line.event_id), [])
        units.extend([units[0] if units else line] * line.quantity)
    return receipts


def _sale_of(line: Line) -> tuple[str, str, str | None]:
    return line.store_id, line.product_id, line.sale_id


def _taken_off(stack: list[list[Line]], line: Line) -> list[Piece]:
    pieces: list[Piece] = []
    wanted = -line.quantity
    while wanted and stack:
        there = stack[-1]
        units = min(len(there), wanted)
        pieces.append(_piece(line, there[0], units))
        del there[:units]
        wanted -= units
        if not there:
            stack.pop()
    return [*pieces, _piece(line, None, wanted)] if wanted else pieces


def _named(units: list[Line], line: Line) -> list[Piece]:
    wanted = -line.quantity
    given = min(wanted, len(units)) if units and units[0].event_time_ms <= line.event_time_ms else 0
    pieces = [_piece(line, units[0], given)] if given else []
    del units[:given]
    return [*pieces, _piece(line, None, wanted - given)] if wanted > given else pieces


def _piece(line: Line, sale: Line | None, units: int) -> Piece:
    if sale is None:
        return (line.event_id, line.line_number, None, None, units, None)
    hours = (line.event_time_ms - sale.event_time_ms) / 3_600_000
    return (line.event_id, line.line_number, sale.event_id, sale.line_number, units, hours)
