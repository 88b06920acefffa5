"""A row as Feast keeps it in Redis, made straight from Python values: the same bytes as from Feast's own writer, far faster.

One hash per entity key and project; a field per feature, named by the murmur3 of `view:feature`, holding a `feast.types.Value`;
and `_ts:view` with the event time. A contract test compares all of it with what Feast's writer leaves in a real server.
"""

from __future__ import annotations

import functools
import operator
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mmh3

from contracts.features import AS_OF, METADATA, DType, features_of
from featurestore.keys import Key, key_columns, value_columns

Encoder = Callable[[Any], bytes]
Values = tuple[Any, ...]

# Tags of the protobuf wire format: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length and bytes).
_STRING, INT64, DOUBLE, _INT64_LIST, _DOUBLE_LIST = b"\x12", b"\x20", b"\x29", b"\x72", b"\x7a"
_ITEMS = b"\x0a"  # the packed repeated field of both lists
SECONDS, NANOS = b"\x08", b"\x10"  # of a protobuf Timestamp
STRING_KEY = 2  # feast.ValueType.STRING, the type of each key part; Feast takes seconds to import, and this is all of it
_MORE = [bytes((low | 128, high | 128)) for high in range(128) for low in range(128)]  # 14 bits with more to come
_LAST = [bytes((low,)) for low in range(128)] + [bytes((low | 128, high)) for high in range(1, 128) for low in range(128)]
KEPT_VALUES = 1 << 16  # 10 MB at most
_DOUBLE_BYTES = struct.Struct("<d").pack


class RowFormat:
    """The rows of one view in one Feast project: each becomes one HSET command of the Redis protocol."""

    def __init__(self, view: str, project: bytes) -> None:
        self._view, self._project = view, project
        self._keys, columns = key_columns(view), value_columns(view)
        names = sorted(self._keys)  # Feast sorts a key by the names of its parts
        self._order = [self._keys.index(name) for name in names]
        self._prefix = struct.pack("<I", len(names)) + b"".join(key_part(name) for name in names)
        self._head = b"*%d\r\n$4\r\nHSET\r\n" % (4 + 2 * len(columns))
        self._at = bulk(f"_ts:{view}".encode())
        self._columns, self._fields = operator.itemgetter(*columns), _Fields(view, columns).encode

    def command(self, row: Mapping[str, Any]) -> bytes:
        """HSET with all fields of the row.

        Raises KeyError where a column is missing, TypeError or ValueError where a value is not of the catalogue's type.
        """
        key = self._key(tuple(row[name] for name in self._keys))
        return b"".join((self._head, key, self._at, _timestamp(row[AS_OF]), self._fields(self._columns(row))))

    def _key(self, key: Key) -> bytes:
        """The name of a key's hash, as it is sent."""
        return bulk(self._prefix + b"".join([key_part(key[at]) for at in self._order]) + self._project)


class _Fields:
    """Some columns of a view, as they are sent.

    Most are integers, and most of those small: they are looked up and filled into a template, without a call of Python.
    """

    def __init__(self, view: str, columns: Sequence[str | None]) -> None:
        dtypes: dict[str, DType] = {**METADATA, **{feature.name: feature.dtype for feature in features_of(view)}}
        places = [(at, column, dtypes[column]) for at, column in enumerate(columns) if column is not None]
        whole = [(at, column) for at, column, dtype in places if dtype == "int64"]
        doubles = [(at, column) for at, column, dtype in places if dtype == "float64"]
        others = [(at, column) for at, column, dtype in places if dtype not in ("int64", "float64")]
        self._whole, self._doubles = _several([at for at, _ in whole]), _several([at for at, _ in doubles])
        self._others = [(at, _ENCODERS[dtypes[column]]) for at, column in others]
        names = [field_name(view, column) for _, column in (*whole, *doubles, *others)]
        self._template = b"".join(bulk(name).replace(b"%", b"%%") + b"%b" for name in names)

    def encode(self, values: Values) -> bytes:
        """The fields with these values. Raises TypeError or ValueError where one is not of the catalogue's type."""
        whole = self._whole(values)
        if not _WHOLE_TYPES.issuperset(map(type, whole)):  # a bool or a float here is a fault of the writer, not a number
            raise TypeError(f"not an integer among {whole}")
        doubles = self._doubles(values)
        if not _DOUBLE_TYPES.issuperset(map(type, doubles)):
            raise TypeError(f"not a number among {doubles}")
        others = [_NULL if (value := values[at]) is None else encode(value) for at, encode in self._others]
        return self._template % (*map(_INT64_VALUES, whole), *map(_FLOAT64_VALUES, doubles), *others)


class _Int64Values(dict[int | None, bytes]):
    """The value of each integer, and of none. All are kept for a while: small numbers come again and again, and the lines of one
    receipt share their instant and their offset."""

    def __missing__(self, number: int | None) -> bytes:
        value = _NULL if number is None else bulk(INT64 + _varint(number))
        if len(self) >= KEPT_VALUES:
            self.clear()  # rows may be encoded in several threads: nothing relies on a number to be there
        self[number] = value
        return value


class _Float64Values(dict[float | None, bytes]):
    """The value of each double, and of none; many come again and again. What equals is written the same: -0.0 as 0.0."""

    def __missing__(self, number: float) -> bytes:
        value = b"$9\r\n%b%b\r\n" % (DOUBLE, _DOUBLE_BYTES(number or 0.0))
        if len(self) < KEPT_VALUES and number == number:  # a NaN equals nothing: it would be kept again each time
            self[number] = value
        return value


def _several(places: Sequence[int]) -> Callable[[Values], Values]:
    """Takes the values at these places, as a tuple also where there is one or none."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple(values[at] for at in places)


def bulk(raw: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def field_name(view: str, feature: str) -> bytes:
    return struct.pack("<I", mmh3.hash(f"{view}:{feature}", signed=False))


@functools.lru_cache(maxsize=1 << 16)  # stores and products come again and again
def key_part(text: str) -> bytes:
    """A name or a value in a key."""
    raw = text.encode()
    return struct.pack("<II", STRING_KEY, len(raw)) + raw


def _varint(value: int) -> bytes:
    """Base 128, low bits first; a negative number as its 64-bit two's complement."""
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    if 1 << 28 <= value < 1 << 42:  # an instant in ms: three of them in every row
        return _MORE[value & 0x3FFF] + _MORE[value >> 14 & 0x3FFF] + _LAST[value >> 28]
    rest, parts = value & 0xFFFF_FFFF_FFFF_FFFF, []
    while rest >= 1 << 14:
        parts.append(_MORE[rest & 0x3FFF])
        rest >>= 14
    return b"".join(parts) + _LAST[rest]


@functools.lru_cache(maxsize=1 << 12)  # the lines of one receipt share it
def _timestamp(milliseconds: int) -> bytes:
    """A protobuf Timestamp, as it is sent: a part that is zero is left out."""
    seconds, thousandths = divmod(milliseconds, 1000)
    return bulk((SECONDS + _varint(seconds) if seconds else b"") + _NANOSECONDS[thousandths])


@functools.lru_cache(maxsize=1 << 12, typed=True)  # fingerprints, categories, zones
def _string(value: Any) -> bytes:
    return bulk(string_value(value))


def string_value(value: Any) -> bytes:
    """A feast.types.Value of a text."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    raw = value.encode()
    return _STRING + _varint(len(raw)) + raw


def _int64s(values: Sequence[Any]) -> bytes:
    return _list(_INT64_LIST, b"".join([_varint(_integer(value)) for value in values]))


def _float64s(values: Sequence[Any]) -> bytes:
    return _list(_DOUBLE_LIST, b"".join([_double(value) for value in values]))


def _list(tag: bytes, items: bytes) -> bytes:
    body = _ITEMS + _varint(len(items)) + items if items else b""
    return bulk(tag + _varint(len(body)) + body)


def _integer(value: Any) -> int:
    if type(value) is not int:  # a bool or a float here is a fault of the writer, not a number
        raise TypeError(f"{value!r} is not an integer")
    return value


def _double(value: Any) -> bytes:
    if type(value) is not float and type(value) is not int:
        raise TypeError(f"{value!r} is not a number")
    return _DOUBLE_BYTES(value)


_NULL = bulk(b"")
_WHOLE_TYPES = frozenset((int, type(None)))
_DOUBLE_TYPES = frozenset((float, int, type(None)))
_INT64_VALUES = _Int64Values().__getitem__
_FLOAT64_VALUES = _Float64Values({None: _NULL}).__getitem__
_NANOSECONDS = [NANOS + _varint(thousandths * 1_000_000) if thousandths else b"" for thousandths in range(1000)]
_ENCODERS: dict[DType, Encoder] = {"string": _string, "int64[]": _int64s, "float64[]": _float64s}
