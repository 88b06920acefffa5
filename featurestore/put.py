"""Bytes put one after another into an array, by machine code: Feast's values, and what stands around them.

Each function that puts something returns the place behind it.
"""

from __future__ import annotations

import numpy as np

from featurestore.compiled import compiled
from featurestore.pieces import Bytes
from featurestore.redis_format import DOUBLE, INT64, NANOS, SECONDS
from featurestore.row_block import NULL

# The most bytes of each.
LONGEST_INT64 = 1 + 10
LONGEST_DOUBLE = 1 + 8
LONGEST_TIMESTAMP = (1 + 10) + (1 + 5)
LONGEST_LENGTH = len("$2147483648\r\n")

_DOLLAR, _ZERO, _CR, _LF = b"$0\r\n"
_INT64_TAG, _DOUBLE_TAG, _SECONDS_TAG, _NANOS_TAG = INT64[0], DOUBLE[0], SECONDS[0], NANOS[0]
_UNSIGNED = 2**57 - 1  # what is left of 64 bits when seven are shifted out, without copies of the sign


@compiled
def int64_length(number: int) -> int:
    """The bytes of a feast.types.Value of an integer, or of none."""
    return 0 if number == NULL else 1 + varint_length(number)


@compiled
def put_int64(out: Bytes, at: int, number: int) -> int:
    """A feast.types.Value of an integer, or of none."""
    return at if number == NULL else put_varint(out, put_byte(out, at, _INT64_TAG), number)


@compiled
def double_length(number: float) -> int:
    """The bytes of a feast.types.Value of a double, or of none."""
    return 1 + 8 if number == number else 0


@compiled
def put_double(out: Bytes, at: int, number: float, bits: int) -> int:
    """A feast.types.Value of a double, or of none. A zero has no sign: what equals is written the same."""
    if number != number:
        return at
    if number == 0.0:
        bits = 0
    at = put_byte(out, at, _DOUBLE_TAG)
    for shift in range(0, 64, 8):
        at = put_byte(out, at, bits >> shift & 0xFF)
    return at


@compiled
def timestamp_length(milliseconds: int) -> int:
    """The bytes of a protobuf Timestamp: a part that is zero is left out."""
    seconds, nanoseconds = milliseconds // 1000, milliseconds % 1000 * 1_000_000
    return (1 + varint_length(seconds) if seconds else 0) + (1 + varint_length(nanoseconds) if nanoseconds else 0)


@compiled
def put_timestamp(out: Bytes, at: int, milliseconds: int) -> int:
    """A protobuf Timestamp."""
    seconds, nanoseconds = milliseconds // 1000, milliseconds % 1000 * 1_000_000
    if seconds:
        at = put_varint(out, put_byte(out, at, _SECONDS_TAG), seconds)
    if nanoseconds:
        at = put_varint(out, put_byte(out, at, _NANOS_TAG), nanoseconds)
    return at


@compiled
def varint_length(number: int) -> int:
    """The bytes of a varint."""
    length = 1
    while number < 0 or number > 0x7F:
        number = number >> 7 & _UNSIGNED
        length += 1
    return length


@compiled
def put_varint(out: Bytes, at: int, number: int) -> int:
    """A varint: base 128, low bits first; a negative number as its 64-bit two's complement."""
    while number < 0 or number > 0x7F:
        at = put_byte(out, at, number & 0x7F | 0x80)
        number = number >> 7 & _UNSIGNED
    return put_byte(out, at, number)


@compiled
def put_unsigned(out: Bytes, at: int, number: int, width: int) -> int:
    """A number in so many bytes, the lowest first."""
    for shift in range(0, 8 * width, 8):
        at = put_byte(out, at, number >> shift & 0xFF)
    return at


@compiled
def put_length(out: Bytes, at: int, length: int) -> int:
    r"""`$length\r\n`, which the Redis protocol has before each word."""
    at = put_byte(out, at, _DOLLAR)
    power = 1
    while length // 10 >= power:
        power *= 10
    while power:
        at = put_byte(out, at, _ZERO + length // power % 10)
        power //= 10
    return put_line_end(out, at)


@compiled
def put_line_end(out: Bytes, at: int) -> int:
    r"""`\r\n`, which it has behind each."""
    return put_byte(out, put_byte(out, at, _CR), _LF)


@compiled
def put_bytes(out: Bytes, at: int, raw: bytes) -> int:
    """All these bytes."""
    for place in range(len(raw)):
        at = put_byte(out, at, raw[np.uint64(place)])
    return at


@compiled
def put_byte(out: Bytes, at: int, byte: int) -> int:
    """One byte."""
    out[np.uint64(at)] = byte  # an index with a sign would be tested each time: a negative one counts from the end
    return at + 1
