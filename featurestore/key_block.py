"""Keys of one view as their texts in one array, as compiled code takes them, read like any other keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from featurestore.keys import Key
from featurestore.pieces import Bytes, Ints, Pieces, cut, pieces


class KeyBlock(Sequence[Key]):
    """Part `p` of key `n` is from `starts[n, p]` to `ends[n, p]` of `raw`, in UTF-8. Nothing of it is changed once it is made."""

    __slots__ = ("ends", "raw", "starts")

    def __init__(self, raw: Bytes, starts: Ints, ends: Ints) -> None:
        self.raw, self.starts, self.ends = raw, starts, ends

    @classmethod
    def of(cls, keys: Sequence[Key], parts: int) -> KeyBlock:
        """Keys, each of so many parts. Raises ValueError where one has another number of them."""
        odd = {*map(len, keys)} - {parts}
        if odd:
            raise ValueError(f"keys of {max(odd)} parts, not of {parts}")
        raw, starts, ends = pieces([text.encode() for key in keys for text in key])
        return cls(raw, starts.reshape(-1, parts), ends.reshape(-1, parts))

    @overload
    def __getitem__(self, at: int) -> Key: ...

    @overload
    def __getitem__(self, at: slice) -> KeyBlock: ...

    def __getitem__(self, at: int | slice) -> Key | KeyBlock:
        if isinstance(at, slice):
            return KeyBlock(self.raw, self.starts[at], self.ends[at])
        places = zip(self.starts[at].tolist(), self.ends[at].tolist(), strict=True)
        return tuple(self.raw[start:end].tobytes().decode() for start, end in places)

    def __iter__(self) -> Iterator[Key]:
        parts = [raw.decode() for raw in cut(Pieces(self.raw, self.starts.ravel(), self.ends.ravel()))]
        width = self.starts.shape[1]
        return zip(*(parts[part::width] for part in range(width)), strict=True)

    def __len__(self) -> int:
        return len(self.starts)

    def joined(self, other: KeyBlock) -> KeyBlock:
        """These keys and others of the same view after them."""
        further = len(self.raw)
        starts, ends = np.concatenate((self.starts, other.starts + further)), np.concatenate((self.ends, other.ends + further))
        return KeyBlock(np.concatenate((self.raw, other.raw)), starts, ends)
