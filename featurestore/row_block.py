"""Rows of one view as columns of numbers: made and encoded without an object per value, read like any other rows."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from contracts.features import CATALOGUE_FINGERPRINT, FINGERPRINT, METADATA, VIEWS, DType, features_of
from featurestore.key_block import KeyBlock
from featurestore.keys import Key, Row, key_columns, key_of

Whole = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

NULL = -(2**63)  # the integer that stands for no value; among doubles it is NaN


@dataclass(frozen=True)
class BlockLayout:
    """The columns of a view's blocks, in the order of their arrays. Every row has the catalogue's fingerprint besides.

    Raises KeyError where there is no such view, ValueError where the columns are not exactly the view's.
    """

    view: str
    whole: tuple[str, ...]
    doubles: tuple[str, ...]

    def __post_init__(self) -> None:
        dtypes = {feature.name: feature.dtype for feature in features_of(VIEWS[self.view].name)}
        expected: dict[str, DType] = {**METADATA, **dtypes}
        given = dict.fromkeys(self.whole, "int64") | dict.fromkeys(self.doubles, "float64") | {FINGERPRINT: "string"}
        if given != expected or len(self.whole) + len(self.doubles) + 1 != len(expected):
            raise ValueError(f"not the columns of {self.view}, each once: {sorted(given.items() ^ expected.items())}")

    @functools.cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns of a row: keys, integers, doubles, the fingerprint."""
        return (*key_columns(self.view), *self.whole, *self.doubles, FINGERPRINT)


class RowBlock(Sequence[Row]):
    """Rows of one view, unchanged once they are made: a row of each array per key. The arrays are taken over, not copied."""

    __slots__ = ("doubles", "keys", "layout", "whole")

    def __init__(self, layout: BlockLayout, keys: Sequence[Key], whole: Whole, doubles: Doubles) -> None:
        """Raises ValueError where an array is not of the layout's columns, or not of one row per key."""
        self.layout, self.keys = layout, keys
        self.whole: Whole = _sealed(whole, np.dtype(np.int64), (len(keys), len(layout.whole)))
        self.doubles: Doubles = _sealed(doubles, np.dtype(np.float64), (len(keys), len(layout.doubles)))

    @overload
    def __getitem__(self, at: int) -> Row: ...

    @overload
    def __getitem__(self, at: slice) -> RowBlock: ...

    def __getitem__(self, at: int | slice) -> Row | RowBlock:
        if isinstance(at, slice):
            return RowBlock(self.layout, self.keys[at], self.whole[at], self.doubles[at])
        whole = [None if number == NULL else number for number in self.whole[at].tolist()]
        doubles = [None if number != number else number for number in self.doubles[at].tolist()]
        values: tuple[Any, ...] = (*self.keys[at], *whole, *doubles, CATALOGUE_FINGERPRINT)
        return dict(zip(self.layout.columns, values, strict=True))

    def joined(self, other: RowBlock) -> RowBlock:
        """These rows and those of another block of the same layout after them."""
        whole, doubles = np.concatenate((self.whole, other.whole)), np.concatenate((self.doubles, other.doubles))
        if isinstance(self.keys, KeyBlock) and isinstance(other.keys, KeyBlock):
            return RowBlock(self.layout, self.keys.joined(other.keys), whole, doubles)
        return RowBlock(self.layout, [*self.keys, *other.keys], whole, doubles)

    def latest(self, keys: Iterable[Key]) -> RowBlock:
        """The last row of each of these keys."""
        wanted = set(keys)
        last = sorted({key: at for at, key in enumerate(self.keys) if key in wanted}.values())
        return RowBlock(self.layout, [self.keys[at] for at in last], self.whole[last], self.doubles[last])

    def __len__(self) -> int:
        return len(self.keys)


def joined(before: Sequence[Row] | None, rows: Sequence[Row]) -> Sequence[Row]:
    """Rows of one view, and those after them: a block where both are."""
    if isinstance(before, RowBlock) and isinstance(rows, RowBlock):
        return before.joined(rows)
    return rows if before is None else [*before, *rows]


def latest(rows: Sequence[Row], view: str) -> Sequence[Row]:
    """The last row of each key of a view."""
    if isinstance(rows, RowBlock):
        return rows.latest(rows.keys)
    return list({key_of(view, row): row for row in rows}.values())


def _sealed(array: npt.NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """A view of the array that nobody can write to, its rows one after another."""
    if array.dtype != dtype or array.shape != shape:
        raise ValueError(f"an array of {shape} {dtype} is needed, not of {array.shape} {array.dtype}")
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
