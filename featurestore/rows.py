"""Rows as the stream makes them: values in groups that come again in many rows, read by column like any other row.

What a window sums up is often the same in several windows, and in thousands of rows: nothing, one unit at the usual price. A
group is one tuple of values, so that who makes it and who encodes it can keep what they made of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from contracts.features import METADATA
from featurestore.keys import key_columns

Values = tuple[Any, ...]


class Group(NamedTuple):
    """The columns of one group, in the order of its values; a value whose column is None is no feature.

    `recurs` where the same values are likely to come again.
    """

    columns: tuple[str | None, ...]
    recurs: bool


class Layout:
    """Where the columns of a view's rows stand. Group 0 is METADATA."""

    def __init__(self, view: str, groups: Sequence[Group]) -> None:
        self.keys = key_columns(view)
        self.groups = (Group(tuple(METADATA), recurs=True), *groups)  # the lines of one receipt share their instant and offset
        self.places = {
            column: (number, at)
            for number, group in enumerate(self.groups)
            for at, column in enumerate(group.columns)
            if column is not None
        }


class GroupedRow(Mapping[str, Any]):
    """The row of a key: a tuple of values for each group of its layout."""

    __slots__ = ("groups", "key", "layout")

    def __init__(self, layout: Layout, key: tuple[str, ...], groups: tuple[Values, ...]) -> None:
        self.layout, self.key, self.groups = layout, key, groups

    def __getitem__(self, column: str) -> Any:
        place = self.layout.places.get(column)
        if place is None:
            return dict(zip(self.layout.keys, self.key, strict=True))[column]
        group, at = place
        return self.groups[group][at]

    def __iter__(self) -> Iterator[str]:
        yield from self.layout.keys
        yield from self.layout.places

    def __len__(self) -> int:
        return len(self.layout.keys) + len(self.layout.places)
