"""A row as the online store keeps it in Redis, made straight from Python values.

One hash per entity key and project, as in Feast; in it of each view `_ts:view`, the event time, and one field with all values of
the row: a `feast.types.RepeatedValue`, in the order of the view's columns. `row_store.py` has Feast read and write the same; a
contract test compares all bytes with what Feast then leaves in a real server.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from typing import Any

import mmh3

from contracts.features import AS_OF, METADATA, DType, features_of
from featurestore.keys import key_columns, value_columns

Encoder = Callable[[Any], bytes]

ROW = "row"  # what Feast takes for the one feature of each view
# Tags of the protobuf wire format: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length and bytes).
_STRING, INT64, DOUBLE, _INT64_LIST, _DOUBLE_LIST = b"\x12", b"\x20", b"\x29", b"\x72", b"\x7a"
ITEM = b"\x0a"  # each value of a row, and the packed repeated field of both lists
SECONDS, NANOS = b"\x08", b"\x10"  # of a protobuf Timestamp
STRING_KEY = 2  # feast.ValueType.STRING, the type of each key part; Feast takes seconds to import, and this is all of it
_DOUBLE_BYTES = struct.Struct("<d").pack


class RowFormat:
    """The rows of one view in one Feast project: each becomes one HSET command of the Redis protocol."""

    def __init__(self, view: str, project: bytes) -> None:
        self._project = project
        self._keys = key_columns(view)
        names = sorted(self._keys)  # Feast sorts a key by the names of its parts
        self._order = [self._keys.index(name) for name in names]
        self._prefix = key_prefix(names)
        self._at, self._field = bulk(f"_ts:{view}".encode()), bulk(row_field(view))
        dtypes: dict[str, DType] = {**METADATA, **{feature.name: feature.dtype for feature in features_of(view)}}
        self._columns = [(name, _ENCODERS[dtypes[name]]) for name in value_columns(view)]

    def command(self, row: Mapping[str, Any]) -> bytes:
        """HSET with the event time and all values of the row.

        Raises KeyError where a column is missing, TypeError or ValueError where a value is not of the catalogue's type.
        """
        key = bulk(self._prefix + b"".join([key_part(row[self._keys[at]]) for at in self._order]) + self._project)
        values = b"".join([item(b"" if (value := row[name]) is None else encode(value)) for name, encode in self._columns])
        return b"".join((HSET, key, self._at, bulk(_timestamp(row[AS_OF])), self._field, bulk(values)))


def bulk(raw: bytes) -> bytes:
    """A word of the Redis protocol."""
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


HSET = b"*6\r\n" + bulk(b"HSET")  # of a key and two fields with their values


def row_field(view: str) -> bytes:
    """The field of a view's values in a hash."""
    return struct.pack("<I", mmh3.hash(f"{view}:{ROW}", signed=False))


def key_prefix(names: list[str]) -> bytes:
    """What keys of parts of these names, in Feast's order, begin with."""
    return struct.pack("<I", len(names)) + b"".join(map(key_part, names))


@functools.lru_cache(maxsize=1 << 16)  # stores and products come again and again
def key_part(text: str) -> bytes:
    """A name or a value in a key."""
    raw = text.encode()
    return struct.pack("<II", STRING_KEY, len(raw)) + raw


def item(value: bytes) -> bytes:
    """A feast.types.Value, empty for none, among those of a row."""
    return ITEM + _varint(len(value)) + value


def string_value(value: Any) -> bytes:
    """A feast.types.Value of a text."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    raw = value.encode()
    return _STRING + _varint(len(raw)) + raw


def _int64(value: Any) -> bytes:
    return INT64 + _integer(value)


def _float64(value: Any) -> bytes:
    return DOUBLE + _double(value or 0.0)  # a zero has no sign: what equals is written the same


def _int64s(values: list[Any]) -> bytes:
    return _list(_INT64_LIST, b"".join(map(_integer, values)))


def _float64s(values: list[Any]) -> bytes:
    return _list(_DOUBLE_LIST, b"".join(map(_double, values)))


def _list(tag: bytes, items: bytes) -> bytes:
    body = item(items) if items else b""
    return tag + _varint(len(body)) + body


def _integer(value: Any) -> bytes:
    if type(value) is not int:  # a bool or a float here is a fault of the writer, not a number
        raise TypeError(f"{value!r} is not an integer")
    return _varint(value)


def _double(value: Any) -> bytes:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"{value!r} is not a number")
    return _DOUBLE_BYTES(value)


@functools.lru_cache(maxsize=1 << 12)  # the lines of one receipt share it
def _timestamp(milliseconds: int) -> bytes:
    """A protobuf Timestamp: a part that is zero is left out."""
    seconds, thousandths = divmod(milliseconds, 1000)
    nanos = NANOS + _varint(thousandths * 1_000_000) if thousandths else b""
    return (SECONDS + _varint(seconds) if seconds else b"") + nanos


@functools.lru_cache(maxsize=1 << 16)  # lengths, counts and instants come again and again
def _varint(value: int) -> bytes:
    """Base 128, low bits first; a negative number as its 64-bit two's complement."""
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    rest, made = value & 0xFFFF_FFFF_FFFF_FFFF, bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes((*made, rest))


_ENCODERS: dict[DType, Encoder] = {
    "string": string_value,
    "int64": _int64,
    "float64": _float64,
    "int64[]": _int64s,
    "float64[]": _float64s,
}
