"""Sets of offsets as spans: sorted, apart from each other, each [first, last] with both ends included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Span = tuple[int, int]


def of_offsets(offsets: Iterable[int]) -> list[Span]:
    """The spans that hold these offsets and no other."""
    return joined((offset, offset) for offset in offsets)


def joined(spans: Iterable[Span], apart: int = 0) -> list[Span]:
    """Spans that may overlap, as spans that do not; those with at most `apart` offsets between them become one."""
    found: list[Span] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1 + apart:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        elif first <= last:
            found.append((first, last))
    return found


def without(spans: Sequence[Span], removed: Sequence[Span]) -> list[Span]:
    """What of the spans is in none of the removed ones, in one walk through both."""
    left: list[Span] = []
    at = 0
    for first, last in spans:
        start = first
        while at < len(removed) and removed[at][1] < start:
            at += 1
        while at < len(removed) and removed[at][0] <= last:
            if removed[at][0] > start:
                left.append((start, removed[at][0] - 1))
            start = removed[at][1] + 1
            if start > last:
                break  # what is left of the removed one may reach into the next span
            at += 1
        if start <= last:
            left.append((start, last))
    return left


def within(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What of the spans is in one of the others too."""
    return without(spans, without(spans, others))


def count(spans: Iterable[Span]) -> int:
    """How many offsets they hold."""
    return sum(last - first + 1 for first, last in spans)
