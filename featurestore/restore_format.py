"""A hash as Redis itself keeps a small one, to be put in place whole by RESTORE, where there is none yet.

HSET looks for each field among those before it and moves what is behind it: 24 microseconds of the server for a new row of 39
fields, 5 as RESTORE. The payload is what DUMP answers: the type, the hash as a listpack, the version of the format, and a CRC-64
of all before it. See rdb.h, listpack.c and crc64.c of Redis. A contract test compares it with DUMP's of the same rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featurestore.compiled import compiled
from featurestore.put import (
    LONGEST_DOUBLE,
    LONGEST_INT64,
    LONGEST_LENGTH,
    LONGEST_TIMESTAMP,
    Bytes,
    double_length,
    int64_length,
    put_byte,
    put_bytes,
    put_double,
    put_int64,
    put_length,
    put_line_end,
    put_some,
    put_timestamp,
    put_unsigned,
    timestamp_length,
)
from featurestore.row_block import Doubles, Whole

_VERSION = 10  # of the format, the oldest that has this type: Redis 7.0's and Valkey 7.2's. A server takes all before its own
_HASH_LISTPACK = 16
_HEADER = 4 + 2  # bytes of a listpack's length and count
_END = 0xFF
_FOOTER = 2 + 8  # bytes of the version and the checksum
_TEXT, _SHORT = 0x80, 64  # an element is a text of less than so many bytes
_LONG_TEXT, _TOO_LONG = 0xE0, 4_096  # the same of a longer one
_AROUND = 2  # bytes around a short one
_MOST = 5  # bytes before a listpack that say its length
_POLYNOMIAL = 0x95AC9329AC4BC9B5  # Jones', its bits in reverse


class Hash(NamedTuple):
    """What is the same in the hashes of all rows of a layout, as elements of a listpack, in their order."""

    at: bytes  # the name of the event time
    names: bytes  # of the fields in the order of the arrays, each NAME bytes
    tail: bytes
    elements: int


def element(raw: bytes) -> bytes:
    """A text as an element of a listpack: its length, itself, and how far back it begins. Raises ValueError for 4,096 bytes."""
    if len(raw) >= _TOO_LONG:
        raise ValueError(f"no short text: {len(raw)} bytes")
    before = bytes([_TEXT | len(raw)]) if len(raw) < _SHORT else (_LONG_TEXT << 8 | len(raw)).to_bytes(2, "big")
    length = len(before) + len(raw)
    return before + raw + (bytes([length]) if length < 128 else bytes([length >> 7, length & 127 | 128]))


NAME = len(element(b"hash"))


def most_bytes(same: Hash, whole: int, doubles: int) -> int:
    """The most bytes of a payload of so many numbers, as a word of the Redis protocol."""
    numbers = whole * (_AROUND + LONGEST_INT64) + doubles * (_AROUND + LONGEST_DOUBLE) + _AROUND + LONGEST_TIMESTAMP
    texts = len(same.at) + len(same.names) + len(same.tail)
    return texts + numbers + LONGEST_LENGTH + 1 + _MOST + _HEADER + 1 + _FOOTER + len("\r\n")


@compiled
def put_hash(out: Bytes, at: int, same: Hash, time: int, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    """The payload as a word of the Redis protocol. `time` is the event time (ms)."""
    length = _listpack_length(same, time, whole, doubles)
    start = put_length(out, at, 1 + _length_of_length(length) + length + _FOOTER)
    at = _put_length(out, put_byte(out, start, _HASH_LISTPACK), length)
    at = put_unsigned(out, put_unsigned(out, at, length, 4), same.elements, 2)
    at = put_bytes(out, at, same.at)
    text = at
    at = _put_around(out, text, put_timestamp(out, text + 1, time))
    at = _put_numbers(out, at, same.names, whole, doubles, bits)
    at = put_byte(out, put_bytes(out, at, same.tail), _END)
    at = put_unsigned(out, at, _VERSION, 2)
    checksum = crc64(out, start, at)
    for shift in range(0, 64, 8):
        at = put_byte(out, at, int(checksum >> np.uint64(shift) & np.uint64(0xFF)))
    return put_line_end(out, at)


@compiled
def _listpack_length(same: Hash, time: int, whole: Whole, doubles: Doubles) -> int:
    length = _HEADER + len(same.at) + _AROUND + timestamp_length(time) + len(same.names) + len(same.tail) + 1
    for number in whole:
        length += _AROUND + int64_length(number)
    for real in doubles:
        length += _AROUND + double_length(real)
    return length


@compiled
def _put_numbers(out: Bytes, at: int, names: bytes, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    name = 0
    for number in whole:
        text = put_some(out, at, names, name, NAME)
        at = _put_around(out, text, put_int64(out, text + 1, number))
        name += NAME
    for column in range(len(doubles)):
        text = put_some(out, at, names, name, NAME)
        at = _put_around(out, text, put_double(out, text + 1, doubles[column], bits[column]))
        name += NAME
    return at


@compiled
def _put_around(out: Bytes, start: int, end: int) -> int:
    """What is around a short text that was put behind the place at which its element starts."""
    put_byte(out, start, _TEXT | (end - start - 1))
    return put_byte(out, end, end - start)


@compiled
def _length_of_length(length: int) -> int:
    return 1 if length < 1 << 6 else 2 if length < 1 << 14 else _MOST


@compiled
def _put_length(out: Bytes, at: int, length: int) -> int:
    """A length as it stands in a payload: its first two bits say how many bytes it has."""
    if length < 1 << 6:
        return put_byte(out, at, length)
    if length < 1 << 14:
        return put_byte(out, put_byte(out, at, 0x40 | length >> 8), length & 0xFF)
    at = put_byte(out, at, 0x80)
    for shift in (24, 16, 8, 0):
        at = put_byte(out, at, length >> shift & 0xFF)
    return at


def _tables() -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    """What each byte does to a checksum of eight bytes, [how many come after it, byte]."""
    tables = np.zeros((8, 256), np.uint64)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        tables[0, byte] = crc
    for after in range(1, 8):
        earlier = tables[after - 1]
        tables[after] = tables[0][earlier & np.uint64(0xFF)] ^ earlier >> np.uint64(8)
    return tables


_TABLES = _tables()


@compiled
def crc64(raw: Bytes, start: int, end: int) -> np.uint64:
    """The CRC-64 (Jones) of the bytes from a place to another, eight at a time."""
    crc, low = np.uint64(0), np.uint64(0xFF)
    at = start
    while end - at >= 8:
        for place in range(8):
            crc ^= np.uint64(raw[np.uint64(at + place)]) << np.uint64(8 * place)
        found = np.uint64(0)
        for place in range(8):
            found ^= _TABLES[np.uint64(7 - place), crc >> np.uint64(8 * place) & low]
        crc = found
        at += 8
    while at < end:
        crc = _TABLES[0, (crc ^ np.uint64(raw[np.uint64(at)])) & low] ^ crc >> np.uint64(8)
        at += 1
    return crc
