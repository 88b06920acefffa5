"""A block of rows as the online store keeps them: what `redis_format.py` makes of each row, by machine code over the arrays.

All that is the same in every row is made once.
"""

from __future__ import annotations

import numpy as np

from contracts.features import AS_OF, CATALOGUE_FINGERPRINT
from featurestore.hset_format import AROUND, NO_TIME, PART_HEAD, Frame, Parts, hsets
from featurestore.key_block import KeyBlock
from featurestore.keys import key_columns, value_columns
from featurestore.put import LONGEST_DOUBLE, LONGEST_INT64, LONGEST_LENGTH, LONGEST_TIMESTAMP
from featurestore.redis_format import HSET, bulk, item, key_prefix, row_field, string_value
from featurestore.row_block import BlockLayout, RowBlock, Whole


class BlockFormat:
    """The blocks of one layout in one Feast project, as commands of the Redis protocol."""

    def __init__(self, layout: BlockLayout, project: bytes) -> None:
        keys = key_columns(layout.view)
        names = sorted(keys)  # Feast sorts a key by the names of its parts
        texts = {
            "head": HSET,
            "prefix": key_prefix(names),
            "project": project,
            "at": bulk(f"_ts:{layout.view}".encode()),
            "field": bulk(row_field(layout.view)),
            "text": item(string_value(CATALOGUE_FINGERPRINT)),
        }
        row_bytes = (
            sum(map(len, texts.values()))
            + (LONGEST_LENGTH + len(keys) * PART_HEAD + len("\r\n"))
            + (LONGEST_LENGTH + LONGEST_TIMESTAMP + len("\r\n"))
            + (LONGEST_LENGTH + len(layout.whole) * (AROUND + LONGEST_INT64) + len("\r\n"))
            + len(layout.doubles) * (AROUND + LONGEST_DOUBLE)
        )
        order = np.array([keys.index(name) for name in names], np.int64)
        as_of = layout.whole.index(AS_OF)
        self._frame = Frame(**texts, order=order, row_bytes=row_bytes, as_of=as_of, columns=_columns(layout))
        self._parts = len(keys)

    def commands(self, block: RowBlock) -> memoryview:
        """One HSET for each row, one after another.

        Raises ValueError where a key is not of the view's parts or a row has no time.
        """
        keys = block.keys if isinstance(block.keys, KeyBlock) else KeyBlock.of(block.keys, self._parts)
        parts = Parts(keys.raw, keys.starts, keys.ends)
        out, end = hsets(self._frame, parts, block.whole, block.doubles, block.doubles.view(np.int64))
        if end == NO_TIME:
            raise ValueError(f"a row of {block.layout.view} without {AS_OF}")
        return out.data[:end]


def _columns(layout: BlockLayout) -> Whole:
    """Where each value of a row, in the view's order, stands in a block. See Frame."""
    places = {name: at for at, name in enumerate(layout.whole)} | {name: ~at for at, name in enumerate(layout.doubles)}
    return np.array([places.get(name, len(layout.whole)) for name in value_columns(layout.view)], np.int64)
