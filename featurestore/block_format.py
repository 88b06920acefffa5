"""A block of rows as Feast keeps them in Redis: what `redis_format.py` makes of each row, by machine code over the arrays.

All that is the same in every row is made once. Only the texts of keys are encoded by Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from contracts.features import AS_OF, CATALOGUE_FINGERPRINT, FINGERPRINT
from featurestore.compiled import compiled
from featurestore.keys import Key, key_columns
from featurestore.put import (
    LONGEST_DOUBLE,
    LONGEST_INT64,
    LONGEST_LENGTH,
    LONGEST_TIMESTAMP,
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
from featurestore.redis_format import STRING_KEY, bulk, field_name, key_part, string_value
from featurestore.restore_format import COMMAND, FOR_EVER, Hash, element, most_bytes, put_hash
from featurestore.row_block import NULL, BlockLayout, Doubles, RowBlock, Whole

_ONE_DIGIT, _TWO_DIGITS = len("$9\r\n"), len("$99\r\n")
_NAME = len(bulk(b"hash"))  # bytes of a field's name, as it is sent
_PART_HEAD = len(key_part(""))  # bytes before each text of a key: that it is one, and its length


class Frame(NamedTuple):
    """What is the same in all rows of a layout, in the order in which it is sent: between it go key, time and values."""

    head: bytes
    prefix: bytes  # of the key
    project: bytes  # behind the key
    at: bytes  # the name of the event time
    names: bytes  # of the fields in the order of the arrays, each _NAME bytes
    tail: bytes
    as_of: int  # the column of the event time


class BlockFormat:
    """The blocks of one layout in one Feast project. Each row becomes one command of the Redis protocol: HSET, or RESTORE where
    its key is new."""

    def __init__(self, layout: BlockLayout, project: bytes) -> None:
        keys, columns = key_columns(layout.view), (*layout.whole, *layout.doubles)
        names = sorted(keys)  # Feast sorts a key by the names of its parts
        self._order = [keys.index(name) for name in names]
        at, fields = f"_ts:{layout.view}".encode(), [field_name(layout.view, column) for column in columns]
        tail = field_name(layout.view, FINGERPRINT), string_value(CATALOGUE_FINGERPRINT)
        elements = 2 * (1 + len(columns) + 1)
        self._frame = Frame(
            head=b"*%d\r\n$4\r\nHSET\r\n" % (2 + elements),
            prefix=len(names).to_bytes(4, "little") + b"".join(key_part(name) for name in names),
            project=project,
            at=bulk(at),
            names=b"".join(map(bulk, fields)),
            tail=b"".join(map(bulk, tail)),
            as_of=layout.whole.index(AS_OF),
        )
        self._hash = Hash(element(at), b"".join(map(element, fields)), b"".join(map(element, tail)), elements)
        self._row_bytes = max(
            sum(len(part) for part in self._frame if isinstance(part, bytes))
            + (_TWO_DIGITS + LONGEST_TIMESTAMP + len("\r\n"))
            + len(layout.whole) * (_TWO_DIGITS + LONGEST_INT64 + len("\r\n"))
            + len(layout.doubles) * (_ONE_DIGIT + LONGEST_DOUBLE + len("\r\n")),
            len(self._frame.prefix) + len(project) + most_bytes(self._hash, len(layout.whole), len(layout.doubles)),
        ) + (LONGEST_LENGTH + len(self._order) * _PART_HEAD + len("\r\n"))

    def commands(self, block: RowBlock) -> memoryview:
        """One command with all fields, for one row after another.

        Raises ValueError where a key is not of the view's parts or a row has no time.
        """
        if not block:
            return memoryview(b"")
        if (block.whole[:, self._frame.as_of] == NULL).any():
            raise ValueError(f"a row of {block.layout.view} without {AS_OF}")
        parts, lengths = self._key_parts(block.keys)
        out = np.empty(len(block) * self._row_bytes + len(parts), np.uint8)
        bits = block.doubles.view(np.int64)
        end = put_rows(out, self._frame, self._hash, parts, lengths, block.new, block.whole, block.doubles, bits)
        return out.data[:end]

    def _key_parts(self, keys: Sequence[Key]) -> tuple[bytes, Whole]:
        """The texts of all keys in the order of Feast, end to end, and the length of each, [row, part]."""
        columns = list(zip(*keys, strict=True))
        width = len(self._order)
        if len(columns) != width:
            raise ValueError(f"keys of {len(columns)} parts, not of {width}")
        parts = [b""] * (len(keys) * width)
        for place, at in enumerate(self._order):
            parts[place::width] = map(str.encode, columns[at])
        return b"".join(parts), np.fromiter(map(len, parts), np.int64, len(parts)).reshape(-1, width)


@compiled
def put_rows(
    out: Bytes,
    frame: Frame,
    same: Hash,
    parts: bytes,
    lengths: Whole,
    new: npt.NDArray[np.bool_],
    whole: Whole,
    doubles: Doubles,
    bits: Whole,
) -> int:
    """Where the commands of all rows end in `out`. `bits` are the doubles as integers."""
    at = start = 0
    for row in range(len(whole)):
        time = whole[row, frame.as_of]
        at = put_bytes(out, at, COMMAND if new[row] else frame.head)
        at = put_key(out, at, frame, parts, start, lengths[row])
        start += lengths[row].sum()
        if new[row]:
            at = put_hash(out, put_bytes(out, at, FOR_EVER), same, time, whole[row], doubles[row], bits[row])
        else:
            at = put_length(out, put_bytes(out, at, frame.at), timestamp_length(time))
            at = put_line_end(out, put_timestamp(out, at, time))
            at = put_values(out, at, frame.names, whole[row], doubles[row], bits[row])
            at = put_bytes(out, at, frame.tail)
    return at


@compiled
def put_key(out: Bytes, at: int, frame: Frame, parts: bytes, start: int, lengths: Whole) -> int:
    """The name of a key's hash. Its texts begin at `start`."""
    texts = lengths.sum() + len(lengths) * _PART_HEAD
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
    start = at + (_TWO_DIGITS if number >> 56 and number != NULL else _ONE_DIGIT)  # the tag and 56 bits are nine bytes
    end = put_int64(out, start, number)
    put_length(out, at, end - start)
    return put_line_end(out, end)
