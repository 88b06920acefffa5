"""HSET of a row of numbers, put into an array by machine code."""

from __future__ import annotations

from typing import NamedTuple

from featurestore.compiled import compiled
from featurestore.put import (
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
from featurestore.redis_format import ITEM, STRING_KEY, key_part
from featurestore.row_block import Doubles, Whole

PART_HEAD = len(key_part(""))  # bytes before each text of a key: that it is one, and its length
AROUND = len(ITEM) + 1  # bytes before each number of a row: that it is one, and its length
_ITEM_TAG = ITEM[0]


class Frame(NamedTuple):
    """What is the same in all rows of a layout: between it go key, time and numbers."""

    head: bytes
    prefix: bytes  # of the key
    project: bytes  # behind the key
    at: bytes  # the name of the event time
    field: bytes  # the name of the values
    text: bytes  # the only value that is none of the numbers, as an item
    as_of: int  # the column of the event time
    columns: Whole  # of the values in their order: a column of integers, ~ one of doubles, or the text, the number after those


@compiled
def put_hsets(out: Bytes, frame: Frame, parts: bytes, lengths: Whole, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    """Where the commands of all rows end in `out`. `bits` are the doubles as integers."""
    at = start = 0
    for row in range(len(whole)):
        at = _put_key(out, put_bytes(out, at, frame.head), frame, parts, start, lengths[row])
        start += lengths[row].sum()
        time = whole[row, frame.as_of]
        at = put_length(out, put_bytes(out, at, frame.at), timestamp_length(time))
        at = put_line_end(out, put_timestamp(out, at, time))
        at = put_length(out, put_bytes(out, at, frame.field), _values_length(frame, whole[row], doubles[row]))
        at = put_line_end(out, _put_values(out, at, frame, whole[row], doubles[row], bits[row]))
    return at


@compiled
def _put_key(out: Bytes, at: int, frame: Frame, parts: bytes, start: int, lengths: Whole) -> int:
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
def _values_length(frame: Frame, whole: Whole, doubles: Doubles) -> int:
    length = AROUND * (len(whole) + len(doubles)) + len(frame.text)
    for number in whole:
        length += int64_length(number)
    for real in doubles:
        length += double_length(real)
    return length


@compiled
def _put_values(out: Bytes, at: int, frame: Frame, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    for column in frame.columns:
        if column == len(whole):
            at = put_bytes(out, at, frame.text)
        else:
            start = put_byte(out, at, _ITEM_TAG) + 1
            at = put_int64(out, start, whole[column]) if column >= 0 else put_double(out, start, doubles[~column], bits[~column])
            put_byte(out, start - 1, at - start)
    return at
