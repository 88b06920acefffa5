"""Many pieces of bytes in one array: the states of keys, or texts, as compiled code takes them, without an object for each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Sized
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from featurestore.compiled import compiled, compiled_briefly

Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class Pieces(NamedTuple):
    """Piece `n` is from `starts[n]` to `ends[n]` of `raw`, which may have more than the pieces, and them in any order."""

    raw: Bytes
    starts: Ints
    ends: Ints

    def some(self, which: slice | Ints) -> Pieces:
        """Some of the pieces, by their numbers."""
        return Pieces(self.raw, self.starts[which], self.ends[which])


def pieces(some: Sequence[bytes]) -> Pieces:
    """Bytes, end to end."""
    return _end_to_end(bytearray().join(some), some)


def texts(some: Sequence[str]) -> Pieces:
    """Texts in UTF-8, end to end."""
    together = "".join(some)
    return _end_to_end(bytearray(together, "ascii"), some) if together.isascii() else pieces(list(map(str.encode, some)))


def _end_to_end(together: bytearray, some: Sequence[Sized]) -> Pieces:
    """Bytes as the pieces that they were joined of."""
    places = np.zeros(len(some) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, some), np.int64, len(some)), out=places[1:])
    raw = np.frombuffer(together, np.uint8)  # of a bytearray: what cannot be written to would be machine code of its own
    return Pieces(raw, places[:-1], places[1:])


def cut(some: Pieces) -> list[bytes]:
    """The pieces as objects."""
    whole, places = _together(some)
    raw = whole.tobytes()
    return [raw[start:end] for start, end in itertools.pairwise(places.tolist())]


@compiled_briefly
def _together(some: Pieces) -> tuple[Bytes, Ints]:
    """The pieces end to end, and where each begins, and the last one ends."""
    places = np.zeros(len(some.ends) + 1, np.int64)
    for number in range(len(some.ends)):
        places[number + 1] = places[number] + some.ends[number] - some.starts[number]
    whole = np.empty(places[-1], np.uint8)
    copy(some, whole, 0)
    return whole, places


@compiled
def copy(some: Pieces, out: Bytes, at: int) -> None:
    """Puts pieces end to end from a place on, where there must be room for them."""
    to = np.uint64(at)  # a signed place may be one from the end: looking at that for each byte takes eight times as long
    for number in range(len(some.ends)):
        start, size = np.uint64(some.starts[number]), np.uint64(some.ends[number] - some.starts[number])
        for place in range(size):
            out[to + place] = some.raw[start + place]
        to += size
