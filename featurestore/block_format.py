"""A block of rows as the online store keeps them: what `redis_format.py` makes of each row, by machine code over the arrays.

All that is the same in every row is made once. Only the texts of keys are encoded by Python.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterable, Sequence

import numpy as np

from contracts.features import AS_OF, CATALOGUE_FINGERPRINT
from featurestore.hset_format import AROUND, PART_HEAD, Frame, put_hsets
from featurestore.keys import Key, key_columns, value_columns
from featurestore.put import LONGEST_DOUBLE, LONGEST_INT64, LONGEST_LENGTH, LONGEST_TIMESTAMP
from featurestore.redis_format import HSET, bulk, item, key_prefix, row_field, string_value
from featurestore.row_block import NULL, BlockLayout, RowBlock, Whole


class BlockFormat:
    """The blocks of one layout in one Feast project, as commands of the Redis protocol."""

    def __init__(self, layout: BlockLayout, project: bytes) -> None:
        keys = key_columns(layout.view)
        names = sorted(keys)  # Feast sorts a key by the names of its parts
        self._order = [keys.index(name) for name in names]
        self._frame = Frame(
            head=HSET,
            prefix=key_prefix(names),
            project=project,
            at=bulk(f"_ts:{layout.view}".encode()),
            field=bulk(row_field(layout.view)),
            text=item(string_value(CATALOGUE_FINGERPRINT)),
            as_of=layout.whole.index(AS_OF),
            columns=_columns(layout),
        )
        self._row_bytes = (
            sum(len(part) for part in self._frame if isinstance(part, bytes))
            + (LONGEST_LENGTH + len(self._order) * PART_HEAD + len("\r\n"))
            + (LONGEST_LENGTH + LONGEST_TIMESTAMP + len("\r\n"))
            + (LONGEST_LENGTH + len(layout.whole) * (AROUND + LONGEST_INT64) + len("\r\n"))
            + len(layout.doubles) * (AROUND + LONGEST_DOUBLE)
        )

    def commands(self, block: RowBlock) -> memoryview:
        """One HSET for each row, one after another.

        Raises ValueError where a key is not of the view's parts or a row has no time.
        """
        if (block.whole[:, self._frame.as_of] == NULL).any():
            raise ValueError(f"a row of {block.layout.view} without {AS_OF}")
        parts, lengths = self._key_parts(block.keys)
        bits = block.doubles.view(np.int64)
        out = np.empty(len(block) * self._row_bytes + len(parts), np.uint8)
        return out.data[: put_hsets(out, self._frame, parts, lengths, block.whole, block.doubles, bits)]

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


def _columns(layout: BlockLayout) -> Whole:
    """Where each value of a row, in the view's order, stands in a block. See Frame."""
    places = {name: at for at, name in enumerate(layout.whole)} | {name: ~at for at, name in enumerate(layout.doubles)}
    return np.array([places.get(name, len(layout.whole)) for name in value_columns(layout.view)], np.int64)
