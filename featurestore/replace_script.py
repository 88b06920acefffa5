"""Replaces many rows in one call of the server: each hash whole, by RESTORE, where it has the fields of its view and no others.

HSET looks for each of some forty fields among those before it, which takes the server several times as long. A hash that also has
the row of another view, or that of another catalogue, is refused and left as it is: its row has to go as HSET. A hash whose
fingerprint is this catalogue's, and which has as many fields as a row of it, has exactly those: rows are only ever written whole.
"""

from __future__ import annotations

from typing import NamedTuple

from featurestore.compiled import compiled
from featurestore.hset_format import Frame, put_key
from featurestore.put import Bytes, put_bytes
from featurestore.redis_format import bulk
from featurestore.restore_format import Hash, put_hash
from featurestore.row_block import Doubles, Whole

CALL_ROWS = 50  # in one call, which takes the server half a millisecond: it answers nobody else meanwhile
# Returns the numbers, from 1 on, of the keys whose rows were refused. ARGV: field and value of the fingerprint, how many fields a
# row has, and the payload of each key. What RESTORE says against one is left to its HSET to say again.
_SCRIPT = b"""local refused, field, mark, count = {}, ARGV[1], ARGV[2], tonumber(ARGV[3])
for n, key in ipairs(KEYS) do
  local has, done = redis.call('HLEN', key), nil
  if has == 0 then
    done = redis.pcall('RESTORE', key, 0, ARGV[n + 3])
  elseif has == count and redis.call('HGET', key, field) == mark then
    done = redis.pcall('RESTORE', key, 0, ARGV[n + 3], 'REPLACE')
  end
  if not done or done.err then refused[#refused + 1] = n end
end
return refused"""


class Call(NamedTuple):
    """What is the same in all calls of a layout: what goes before the keys of a full one and of the last, and before the rows."""

    full: bytes
    last: bytes
    middle: bytes


def call(rows: int, fingerprint: tuple[bytes, bytes], fields: int) -> Call:
    """The calls for so many rows of so many fields, one of which is the fingerprint."""
    middle = b"".join(map(bulk, (*fingerprint, b"%d" % fields)))
    return Call(_head(min(rows, CALL_ROWS)), _head((rows - 1) % CALL_ROWS + 1), middle)


def call_bytes(made: Call, rows: int) -> int:
    """The bytes of calls for so many rows, without these, at most."""
    return -(-rows // CALL_ROWS) * (len(made.full) + len(made.last) + len(made.middle))


def _head(rows: int) -> bytes:
    return b"*%d\r\n%b" % (3 + rows + 3 + rows, b"".join(map(bulk, (b"EVAL", _SCRIPT, b"%d" % rows))))


@compiled
def put_calls(
    out: Bytes, frame: Frame, same: Hash, made: Call, parts: bytes, lengths: Whole, whole: Whole, doubles: Doubles, bits: Whole
) -> int:
    """Where the calls for all rows end in `out`. `bits` are the doubles as integers."""
    at = start = 0
    for first in range(0, len(whole), CALL_ROWS):
        upto = min(first + CALL_ROWS, len(whole))
        at = put_bytes(out, at, made.last if upto == len(whole) else made.full)
        for row in range(first, upto):
            at = put_key(out, at, frame, parts, start, lengths[row])
            start += lengths[row].sum()
        at = put_bytes(out, at, made.middle)
        for row in range(first, upto):
            at = put_hash(out, at, same, whole[row, frame.as_of], whole[row], doubles[row], bits[row])
    return at
