"""A block of rows as Feast keeps them in Redis: what `redis_format.py` makes of each row, by machine code over the arrays.

All that is the same in every row is made once. Only the texts of keys are encoded by Python.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence

import numpy as np

from contracts.features import AS_OF, CATALOGUE_FINGERPRINT, FINGERPRINT
from featurestore.hset_format import ONE_DIGIT, PART_HEAD, TWO_DIGITS, Frame, put_hsets
from featurestore.keys import Key, key_columns
from featurestore.put import LONGEST_DOUBLE, LONGEST_INT64, LONGEST_LENGTH, LONGEST_TIMESTAMP
from featurestore.redis_format import bulk, field_name, key_part, string_value
from featurestore.replace_script import CALL_ROWS, call, call_bytes, put_calls
from featurestore.restore_format import Hash, element, most_bytes
from featurestore.row_block import NULL, BlockLayout, RowBlock, Whole


class BlockFormat:
    """The blocks of one layout in one Feast project, as commands of the Redis protocol."""

    call_rows = CALL_ROWS

    def __init__(self, layout: BlockLayout, project: bytes) -> None:
        keys, columns = key_columns(layout.view), (*layout.whole, *layout.doubles)
        names = sorted(keys)  # Feast sorts a key by the names of its parts
        self._order = [keys.index(name) for name in names]
        at, fields = f"_ts:{layout.view}".encode(), [field_name(layout.view, column) for column in columns]
        self._fingerprint = field_name(layout.view, FINGERPRINT), string_value(CATALOGUE_FINGERPRINT)
        self._fields = 1 + len(columns) + 1
        self._frame = Frame(
            head=b"*%d\r\n$4\r\nHSET\r\n" % (2 + 2 * self._fields),
            prefix=len(names).to_bytes(4, "little") + b"".join(key_part(name) for name in names),
            project=project,
            at=bulk(at),
            names=b"".join(map(bulk, fields)),
            tail=b"".join(map(bulk, self._fingerprint)),
            as_of=layout.whole.index(AS_OF),
        )
        self._hash = Hash(
            element(at), b"".join(map(element, fields)), b"".join(map(element, self._fingerprint)), 2 * self._fields
        )
        key_bytes = LONGEST_LENGTH + len(self._order) * PART_HEAD + len("\r\n")
        self._hset_bytes = key_bytes + (
            sum(len(part) for part in self._frame if isinstance(part, bytes))
            + (TWO_DIGITS + LONGEST_TIMESTAMP + len("\r\n"))
            + len(layout.whole) * (TWO_DIGITS + LONGEST_INT64 + len("\r\n"))
            + len(layout.doubles) * (ONE_DIGIT + LONGEST_DOUBLE + len("\r\n"))
        )
        most = most_bytes(self._hash, len(layout.whole), len(layout.doubles))
        self._whole_bytes = key_bytes + len(self._frame.prefix) + len(project) + most

    def commands(self, block: RowBlock) -> memoryview:
        """One HSET with all fields, for one row after another.

        Raises ValueError where a key is not of the view's parts or a row has no time.
        """
        parts, lengths, bits = self._told(block)
        out = np.empty(len(block) * self._hset_bytes + len(parts), np.uint8)
        return out.data[: put_hsets(out, self._frame, parts, lengths, block.whole, block.doubles, bits)]

    def calls(self, block: RowBlock) -> memoryview:
        """Calls of `replace_script.py`, each for CALL_ROWS rows, the last one for what is left of them. Raises as `commands`."""
        parts, lengths, bits = self._told(block)
        made = call(len(block), self._fingerprint, self._fields)
        out = np.empty(len(block) * self._whole_bytes + len(parts) + call_bytes(made, len(block)), np.uint8)
        return out.data[: put_calls(out, self._frame, self._hash, made, parts, lengths, block.whole, block.doubles, bits)]

    def _told(self, block: RowBlock) -> tuple[bytes, Whole, Whole]:
        """The texts of all keys, the lengths of each, and the doubles as integers."""
        if (block.whole[:, self._frame.as_of] == NULL).any():
            raise ValueError(f"a row of {block.layout.view} without {AS_OF}")
        return *self._key_parts(block.keys), block.doubles.view(np.int64)

    def _key_parts(self, keys: Sequence[Key]) -> tuple[bytes, Whole]:
        """The texts of all keys in the order of Feast, end to end, and the length of each, [row, part]."""
        width = len(self._order)
        odd = {*map(len, keys)} - {width}
        if odd:
            raise ValueError(f"keys of {max(odd)} parts, not of {width}")
        ordered: Iterable[Key] = keys if width == 1 else map(operator.itemgetter(*self._order), keys)
        texts = list(itertools.chain.from_iterable(ordered))
        whole = "".join(texts)
        words = texts if whole.isascii() else list(map(str.encode, texts))  # as long in bytes as in letters, most often
        return whole.encode(), np.fromiter(map(len, words), np.int64, len(words)).reshape(-1, width)
