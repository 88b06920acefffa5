"""HSET of a row of numbers, put into an array by machine code."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from featurestore.compiled import compiled, compiled_briefly
from featurestore.pieces import Bytes
from featurestore.put import (
    double_length,
    int64_length,
    put_byte,
    put_bytes,
    put_double,
    put_int64,
    put_length,
    put_line_end,
    put_timestamp,
    put_unsigned,
    timestamp_length,
)
from featurestore.redis_format import ITEM, STRING_KEY, key_part
from featurestore.row_block import NULL, Doubles, Whole

PART_HEAD = len(key_part(""))  # bytes before each text of a key: that it is one, and its length
AROUND = len(ITEM) + 1  # bytes before each number of a row: that it is one, and its length
NO_TIME = -1  # in place of where the commands end
_ITEM_TAG = ITEM[0]


class Frame(NamedTuple):
    """What is the same in all rows of a layout: between it go key, time and numbers."""

    head: bytes
    prefix: bytes  # of the key
    project: bytes  # behind the key
    at: bytes  # the name of the event time
    field: bytes  # the name of the values
    text: bytes  # the only value that is none of the numbers, as an item
    order: Whole  # of the parts of a key
    row_bytes: int  # of a command at most, beside the texts of its key
    as_of: int  # the column of the event time
    columns: Whole  # of the values in their order: a column of integers, ~ one of doubles, or the text, the number after those


class Parts(NamedTuple):
    """The parts of keys, a row of places for each key. See KeyBlock."""

    raw: Bytes
    starts: Whole
    ends: Whole


@compiled_briefly
def hsets(frame: Frame, parts: Parts, whole: Whole, doubles: Doubles, bits: Whole) -> tuple[Bytes, int]:
    """The commands of all rows, and where they end; NO_TIME where a row has none. `bits` are the doubles as integers."""
    at, texts = 0, (parts.ends - parts.starts).sum()
    out = np.empty(len(whole) * frame.row_bytes + texts, np.uint8)
    for row in range(len(whole)):
        time = whole[row, frame.as_of]
        if time == NULL:
            return out, NO_TIME
        at = _put_key(out, put_bytes(out, at, frame.head), frame, parts, row)
        at = put_length(out, put_bytes(out, at, frame.at), timestamp_length(time))
        at = put_line_end(out, put_timestamp(out, at, time))
        at = put_length(out, put_bytes(out, at, frame.field), _values_length(frame, whole[row], doubles[row]))
        at = put_line_end(out, _put_values(out, at, frame, whole[row], doubles[row], bits[row]))
    return out, at


@compiled
def _put_key(out: Bytes, at: int, frame: Frame, parts: Parts, row: int) -> int:
    """The name of a key's hash."""
    texts = len(frame.order) * PART_HEAD
    for part in frame.order:
        texts += parts.ends[row, part] - parts.starts[row, part]
    at = put_length(out, at, len(frame.prefix) + texts + len(frame.project))
    at = put_bytes(out, at, frame.prefix)
    for part in frame.order:
        start, end = parts.starts[row, part], parts.ends[row, part]
        at = put_unsigned(out, put_unsigned(out, at, STRING_KEY, 4), end - start, 4)
        for place in range(start, end):
            at = put_byte(out, at, parts.raw[np.uint64(place)])
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
