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
from featurestore.redis_format import DOUBLE, INT64, NANOS, SECONDS, STRING_KEY, bulk, field_name, key_part, string
from featurestore.row_block import NULL, BlockLayout, Doubles, RowBlock, Whole

Bytes = npt.NDArray[np.uint8]

_DOLLAR, _ZERO, _CR, _LF = b"$0\r\n"
_INT64_TAG, _DOUBLE_TAG, _SECONDS_TAG, _NANOS_TAG = INT64[0], DOUBLE[0], SECONDS[0], NANOS[0]
_UNSIGNED = 2**57 - 1  # what is left of 64 bits when seven are shifted out, without copies of the sign
_ONE_DIGIT, _TWO_DIGITS = len("$9\r\n"), len("$99\r\n")
_NAME = len(bulk(b"hash"))  # bytes of a field's name, as it is sent
_PART_HEAD = len(key_part(""))  # bytes before each text of a key: that it is one, and its length

# The most bytes of ...
_LENGTH = len("$2147483648\r\n")
_WHOLE_VALUE = _TWO_DIGITS + 1 + 10 + len("\r\n")
_DOUBLE_VALUE = _ONE_DIGIT + 1 + 8 + len("\r\n")
_TIMESTAMP = _TWO_DIGITS + (1 + 10) + (1 + 5) + len("\r\n")


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
    """The blocks of one layout in one Feast project: each row becomes one HSET command of the Redis protocol."""

    def __init__(self, layout: BlockLayout, project: bytes) -> None:
        keys, columns = key_columns(layout.view), (*layout.whole, *layout.doubles)
        names = sorted(keys)  # Feast sorts a key by the names of its parts
        self._order = [keys.index(name) for name in names]
        self._frame = Frame(
            head=b"*%d\r\n$4\r\nHSET\r\n" % (2 + 2 * (1 + len(columns) + 1)),
            prefix=len(names).to_bytes(4, "little") + b"".join(key_part(name) for name in names),
            project=project,
            at=bulk(f"_ts:{layout.view}".encode()),
            names=b"".join(bulk(field_name(layout.view, column)) for column in columns),
            tail=bulk(field_name(layout.view, FINGERPRINT)) + string(CATALOGUE_FINGERPRINT),
            as_of=layout.whole.index(AS_OF),
        )
        self._row_bytes = (
            sum(len(part) for part in self._frame if isinstance(part, bytes))
            + (_LENGTH + len("\r\n") + _TIMESTAMP)
            + len(layout.whole) * _WHOLE_VALUE
            + len(layout.doubles) * _DOUBLE_VALUE
        )

    def commands(self, block: RowBlock) -> memoryview:
        """HSET with all fields, for one row after another.

        Raises ValueError where a key is not of the view's parts or a row has no time.
        """
        if not block:
            return memoryview(b"")
        if (block.whole[:, self._frame.as_of] == NULL).any():
            raise ValueError(f"a row of {block.layout.view} without {AS_OF}")
        parts, lengths = self._key_parts(block.keys)
        out = np.empty(len(block) * (self._row_bytes + len(self._order) * _PART_HEAD) + len(parts), np.uint8)
        end = put_rows(out, self._frame, parts, lengths, block.whole, block.doubles, block.doubles.view(np.int64))
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
def put_rows(out: Bytes, frame: Frame, parts: bytes, lengths: Whole, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    """Where the commands of all rows end in `out`. `bits` are the doubles as integers."""
    at = start = 0
    for row in range(len(whole)):
        at = put_bytes(out, at, frame.head)
        at = put_key(out, at, frame, parts, start, lengths[row])
        start += lengths[row].sum()
        at = put_bytes(out, at, frame.at)
        at = put_timestamp(out, at, whole[row, frame.as_of])
        at = put_values(out, at, frame.names, whole[row], doubles[row], bits[row])
        at = put_bytes(out, at, frame.tail)
    return at


@compiled
def put_key(out: Bytes, at: int, frame: Frame, parts: bytes, start: int, lengths: Whole) -> int:
    """Where the name of a key's hash ends. Its texts begin at `start`."""
    texts = lengths.sum() + len(lengths) * _PART_HEAD
    at = put_length(out, at, len(frame.prefix) + texts + len(frame.project))
    at = put_bytes(out, at, frame.prefix)
    for length in lengths:
        at = put_uint32(out, put_uint32(out, at, STRING_KEY), length)
        at = put_some(out, at, parts, start, length)
        start += length
    at = put_bytes(out, at, frame.project)
    return put_line_end(out, at)


@compiled
def put_values(out: Bytes, at: int, names: bytes, whole: Whole, doubles: Doubles, bits: Whole) -> int:
    """Where the fields of a row end."""
    name = 0
    for number in whole:
        at = put_whole(out, put_some(out, at, names, name, _NAME), number)
        name += _NAME
    for column in range(len(doubles)):
        at = put_double(out, put_some(out, at, names, name, _NAME), doubles[column], bits[column])
        name += _NAME
    return at


@compiled
def put_whole(out: Bytes, at: int, number: int) -> int:
    """Where a feast.types.Value of an integer, or of none, ends."""
    if number == NULL:
        return put_line_end(out, put_length(out, at, 0))
    start = at + (_TWO_DIGITS if number >> 56 else _ONE_DIGIT)  # the tag and a varint of 56 bits are nine bytes
    end = put_varint(out, put_byte(out, start, _INT64_TAG), number)
    put_length(out, at, end - start)
    return put_line_end(out, end)


@compiled
def put_double(out: Bytes, at: int, number: float, bits: int) -> int:
    """Where a feast.types.Value of a double, or of none, ends. A zero has no sign: what equals is written the same."""
    if number != number:
        return put_line_end(out, put_length(out, at, 0))
    if number == 0.0:
        bits = 0
    at = put_byte(out, put_length(out, at, 1 + 8), _DOUBLE_TAG)
    for shift in range(0, 64, 8):
        at = put_byte(out, at, bits >> shift & 0xFF)
    return put_line_end(out, at)


@compiled
def put_timestamp(out: Bytes, at: int, milliseconds: int) -> int:
    """Where a protobuf Timestamp ends: a part that is zero is left out."""
    seconds, nanoseconds = milliseconds // 1000, milliseconds % 1000 * 1_000_000
    length = (1 + varint_length(seconds) if seconds else 0) + (1 + varint_length(nanoseconds) if nanoseconds else 0)
    at = put_length(out, at, length)
    if seconds:
        at = put_varint(out, put_byte(out, at, _SECONDS_TAG), seconds)
    if nanoseconds:
        at = put_varint(out, put_byte(out, at, _NANOS_TAG), nanoseconds)
    return put_line_end(out, at)


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
    """Where a varint ends: base 128, low bits first; a negative number as its 64-bit two's complement."""
    while number < 0 or number > 0x7F:
        at = put_byte(out, at, number & 0x7F | 0x80)
        number = number >> 7 & _UNSIGNED
    return put_byte(out, at, number)


@compiled
def put_uint32(out: Bytes, at: int, number: int) -> int:
    """Where four bytes end, the lowest first."""
    for shift in range(0, 32, 8):
        at = put_byte(out, at, number >> shift & 0xFF)
    return at


@compiled
def put_length(out: Bytes, at: int, length: int) -> int:
    r"""Where `$length\r\n` ends."""
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
    r"""Where `\r\n` ends."""
    return put_byte(out, put_byte(out, at, _CR), _LF)


@compiled
def put_bytes(out: Bytes, at: int, raw: bytes) -> int:
    """Where all these bytes end."""
    return put_some(out, at, raw, 0, len(raw))


@compiled
def put_some(out: Bytes, at: int, raw: bytes, start: int, length: int) -> int:
    """Where `length` of these bytes end."""
    for place in range(start, start + length):
        at = put_byte(out, at, raw[np.uint64(place)])
    return at


@compiled
def put_byte(out: Bytes, at: int, byte: int) -> int:
    """Where one byte ends."""
    out[np.uint64(at)] = byte  # an index with a sign would be tested each time: a negative one counts from the end
    return at + 1
