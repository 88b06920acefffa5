"""HSET of a row of numbers with all its fields, put into an array by machine code, and the names of hashes."""

from __future__ import annotations

from typing import NamedTuple

from featurestore.compiled import compiled
from featurestore.put import (
    Bytes,
    double_length,
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
from featurestore.redis_format import STRING_KEY, bulk, key_part
from featurestore.row_block import NULL, Doubles, Whole

ONE_DIGIT, TWO_DIGITS = len("$9\r\n"), len("$99\r\n")
PART_HEAD = len(key_part(""))  # bytes before each text of a key: that it is one, and its length
_NAME = len(bulk(b"hash"))  # bytes of a field's name, as it is sent


class Frame(NamedTuple):
    """What is the same in all rows of a layout, in the order in which it is sent: between it go key, time and values."""

    head: bytes
    prefix: bytes  # of the key
    project: bytes  # behind the key
    at: bytes  # the name of the event time
    names: bytes  # of the fields in the order of the arrays, each _NAME bytes
    tail: bytes
    as_of: int  # the column of the event time


@compiled
def put_hsets(out: Bytes, frame: Frame, parts: bytes, lengths: Whole, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    """Where the commands of all rows end in `out`. `bits` are the doubles as integers."""
    at = start = 0
    for row in range(len(whole)):
        time = whole[row, frame.as_of]
        at = put_key(out, put_bytes(out, at, frame.head), frame, parts, start, lengths[row])
        start += lengths[row].sum()
        at = put_length(out, put_bytes(out, at, frame.at), timestamp_length(time))
        at = put_line_end(out, put_timestamp(out, at, time))
        at = put_bytes(out, put_values(out, at, frame.names, whole[row], doubles[row], bits[row]), frame.tail)
    return at


@compiled
def put_key(out: Bytes, at: int, frame: Frame, parts: bytes, start: int, lengths: Whole) -> int:
    """The name of a key's hash. Its texts begin at `start`."""
    texts = lengths.sum() + len(lengths) * PART_HEAD
    at = put_length(out, at, len(frame.prefix) + texts + len(frame.project))
    at = put_bytes(out, at, frame.prefix)
    for length in lengths:
        at = put_unsigned(out, put_unsigned(out, at, STRING_KEY, 4), length, 4)
        at = put_some(out, at, parts, start, length)
        start += length
    at = put_bytes(out, at, frame.project)
    return put_line_end(out, at)


@compiled
def put_values(out: Bytes, at: int, names: bytes, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    """The fields of a row."""
    name = 0
    for number in whole:
        at = put_whole(out, put_some(out, at, names, name, _NAME), number)
        name += _NAME
    for column in range(len(doubles)):
        at = put_length(out, put_some(out, at, names, name, _NAME), double_length(doubles[column]))
        at = put_line_end(out, put_double(out, at, doubles[column], bits[column]))
        name += _NAME
    return at


@compiled
def put_whole(out: Bytes, at: int, number: int) -> int:
    """An integer, or none, as a word of the Redis protocol."""
    start = at + (TWO_DIGITS if number >> 56 and number != NULL else ONE_DIGIT)  # the tag and 56 bits are nine bytes
    end = put_int64(out, start, number)
    put_length(out, at, end - start)
    return put_line_end(out, end)
