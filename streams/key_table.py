"""The keys of one partition by number: what is known of each stands in arrays, without an object for each.

A number is found by a key's text in a table of its own: in dictionaries a million keys are five million objects, and a batch that
asks for thousands of them waits for memory with the interpreter's lock in its hand.
"""

from __future__ import annotations

import threading
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from featurestore.compiled import compiled
from featurestore.key_block import KeyBlock
from featurestore.pieces import Bytes, Ints, Pieces, copy, pieces

Key = tuple[str, str]  # store_id, product_id
Number = TypeVar("Number", bound=np.generic)
Slots = npt.NDArray[np.uint64]  # 0 where none is: else the number of a key plus one, and the upper half of its text's hash
SEPARATOR = "\x1f"  # of a stored key's parts: identifiers hold no control character
LEAST_SLOTS = 64  # as always a power of two
HALF = np.uint64(32)
LOWER = np.uint64(2**32 - 1)
# FNV-1a with 64 bits (Fowler, Noll, Vo), and MurmurHash3's constant to spread it: the table takes the lowest bits.
BASIS, PRIME, SPREAD = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3), np.uint64(0xFF51AFD7ED558CCD)


class KeyTable:
    """The keys in the order in which they first came, by number, with the bytes that each is stored under. None ever goes.

    Threads may ask at the same time: one decodes a batch while another takes the one before. Nothing of a key that has a number
    is ever changed; arrays that get too small are replaced.
    """

    def __init__(self) -> None:
        self._count = 0
        self._texts: Bytes = np.zeros(0, np.uint8)
        self._places: Ints = np.zeros(1, np.int64)  # where each text begins, and the last one ends
        self._slots: Slots = np.zeros(LEAST_SLOTS, np.uint64)
        self._adding = threading.Lock()

    def __len__(self) -> int:
        return self._count

    def numbers(self, texts: Pieces, under: Pieces | None = None, under_of: Ints | None = None) -> Ints:
        """The numbers of stored keys, which get one where they have none yet.

        Given `under`, each is one of these and then its text: the one whose place there stands in `under_of`.
        """
        count = len(texts.ends)
        heads = pieces([b""]) if under is None else under
        head_of = np.zeros(count, np.int64) if under_of is None else under_of
        found = np.empty(count, np.int64)
        with self._adding:
            self._make_room(count, int((texts.ends - texts.starts).sum() + (heads.ends - heads.starts)[head_of].sum()))
            self._count = _number(self._texts, self._places, self._slots, self._count, heads, head_of, texts, found)
        return found

    def number(self, key: Key) -> int:
        """The number of a key, which gets one where it has none yet."""
        return int(self.numbers(pieces([store_key(key)]))[0])

    def key(self, number: int) -> Key:
        """A key by its number."""
        return key_in_store(self._texts[self._places[number] : self._places[number + 1]].tobytes())

    def stored(self, numbers: Ints) -> Pieces:
        """The bytes that keys are stored under, by number."""
        return Pieces(self._texts, self._places[:-1], self._places[1:]).some(numbers)

    def block(self, numbers: Ints) -> KeyBlock:
        """Keys by number."""
        known = self.stored(numbers)
        ends = np.cumsum(known.ends - known.starts)
        starts = ends - (known.ends - known.starts)
        raw = np.empty(ends[-1] if len(ends) else 0, np.uint8)
        copy(known, raw, 0)
        between = np.flatnonzero(raw == ord(SEPARATOR))
        return KeyBlock(raw, np.stack((starts, between + 1), axis=1), np.stack((between, ends), axis=1))

    def _make_room(self, keys: int, size: int) -> None:
        """Has room for so many keys more, of so many bytes together, and slots of which half stay free."""
        count = self._count + keys
        self._texts = by_number(self._texts, int(self._places[self._count]) + size, 0)
        self._places = by_number(self._places, count + 1, 0)
        if 2 * count > len(self._slots):
            slots: Slots = np.zeros(1 << (4 * count - 1).bit_length(), np.uint64)
            _put_all(self._texts, self._places, self._count, slots)
            self._slots = slots


def by_number(known: npt.NDArray[Number], count: int, unset: int) -> npt.NDArray[Number]:
    """What is known by number, with room for so many numbers: for twice as many as there was where that is not enough."""
    if count <= len(known):
        return known
    grown = np.full(max(count, 2 * len(known)), unset, known.dtype)
    grown[: len(known)] = known
    return grown


def store_key(key: Key) -> bytes:
    """A key as it is stored."""
    return SEPARATOR.join(key).encode()


def key_in_store(raw: bytes) -> Key:
    """The key in `raw`."""
    store_id, product_id = raw.decode().split(SEPARATOR)
    return store_id, product_id


@compiled
def _number(
    texts: Bytes, places: Ints, slots: Slots, count: int, heads: Pieces, head_of: Ints, tails: Pieces, found: Ints
) -> int:
    """Fills in the number of each key of a head and a tail, adding those that are new; how many there are then.

    Looking and adding in functions of their own took more than twice as long: their arrays are counted with each call.
    """
    hashes = np.empty(len(tails.ends), np.uint64)
    of_head = np.empty(len(heads.ends), np.uint64)
    for head in range(len(heads.ends)):
        of_head[head] = _hashed(BASIS, heads.raw, heads.starts[head], heads.ends[head])
    for tail in range(len(tails.ends)):  # all before the first is looked for: the looks then wait for memory together
        hashes[tail] = _spread(_hashed(of_head[head_of[tail]], tails.raw, tails.starts[tail], tails.ends[tail]))
    mask = np.uint64(len(slots) - 1)
    for tail in range(len(tails.ends)):
        at, head = hashes[tail] & mask, head_of[tail]
        middle = heads.ends[head] - heads.starts[head]
        size = middle + tails.ends[tail] - tails.starts[tail]
        while True:
            slot = slots[at]
            if slot == 0:
                begin = places[count]
                _copy(heads.raw, heads.starts[head], texts, begin, middle)
                _copy(tails.raw, tails.starts[tail], texts, begin + middle, size - middle)
                count += 1
                places[count] = begin + size
                slots[at] = _slot(hashes[tail], count)
                found[tail] = count - 1
                break
            number = np.int64(slot & LOWER) - 1
            if (slot >> HALF) == (hashes[tail] >> HALF) and places[number + 1] - places[number] == size:
                begin = places[number]
                if _same(texts, begin, heads.raw, heads.starts[head], middle) and _same(
                    texts, begin + middle, tails.raw, tails.starts[tail], size - middle
                ):
                    found[tail] = number
                    break
            at = (at + np.uint64(1)) & mask
    return count


@compiled
def _put_all(texts: Bytes, places: Ints, count: int, slots: Slots) -> None:
    """Puts keys, all different, into empty slots."""
    mask = np.uint64(len(slots) - 1)
    for number in range(count):
        whole = _spread(_hashed(BASIS, texts, places[number], places[number + 1]))
        at = whole & mask
        while slots[at] != 0:
            at = (at + np.uint64(1)) & mask
        slots[at] = _slot(whole, number + 1)


@compiled
def _slot(whole: np.uint64, number_and_one: int) -> np.uint64:
    """What stands in the slot of a key."""
    return (whole >> HALF << HALF) | np.uint64(number_and_one)


@compiled
def _hashed(begun: np.uint64, raw: Bytes, start: int, end: int) -> np.uint64:
    """The hash of bytes behind those that `begun` is of."""
    whole = begun
    for place in range(np.uint64(start), np.uint64(end)):  # unsigned: see `pieces.copy`
        whole = (whole ^ np.uint64(raw[place])) * PRIME
    return whole


@compiled
def _spread(whole: np.uint64) -> np.uint64:
    """A hash whose lowest bits all of it has a part in."""
    mixed = (whole ^ (whole >> np.uint64(33))) * SPREAD
    return mixed ^ (mixed >> np.uint64(33))


@compiled
def _copy(source: Bytes, start: int, out: Bytes, at: int, size: int) -> None:
    for place in range(np.uint64(size)):
        out[np.uint64(at) + place] = source[np.uint64(start) + place]


@compiled
def _same(one: Bytes, begin: int, other: Bytes, start: int, size: int) -> bool:
    place, end = np.uint64(0), np.uint64(size)
    while place < end and one[np.uint64(begin) + place] == other[np.uint64(start) + place]:
        place += np.uint64(1)
    return bool(place == end)
