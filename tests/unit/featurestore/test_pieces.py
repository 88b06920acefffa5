"""Pieces of bytes in one array, and keys as such pieces: as they went in, whatever is where in the array."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.key_block import KeyBlock
from featurestore.pieces import copy, cut, pieces, texts

SOME = st.lists(st.binary(max_size=9), max_size=9)
KEYS = st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=6)


@settings(deadline=None)  # the first example may compile
@given(SOME, st.data())
def test_pieces_come_out_as_they_went_in_in_any_order_and_more_than_once(some: list[bytes], data: st.DataObject) -> None:
    made = pieces(some)
    at = data.draw(st.lists(st.integers(0, len(some) - 1), max_size=9)) if some else []
    assert cut(made) == some
    assert cut(made.some(np.array(at, np.int64))) == [some[number] for number in at]
    assert cut(made.some(slice(1, None))) == some[1:]


@given(st.lists(st.text(alphabet="ab é北", max_size=4)))
def test_texts_are_pieces_of_what_they_are_in_utf_8(some: list[str]) -> None:
    assert cut(texts(some)) == [text.encode() for text in some]


def test_a_copy_leaves_what_is_around_it() -> None:
    out = np.full(8, ord("."), np.uint8)
    copy(pieces([b"ab", b"", b"c"]), out, 2)
    assert out.tobytes() == b"..abc..."


@given(KEYS, KEYS)
def test_a_block_of_keys_is_read_as_the_keys_are(some: list[tuple[str, ...]], others: list[tuple[str, ...]]) -> None:
    block, after = KeyBlock.of(some, 2), KeyBlock.of(others, 2)
    assert list(block) == some
    assert list(block[::-2]) == some[::-2]
    assert list(block[1:].joined(after)) == some[1:] + others
    assert len(block) == len(some)


@pytest.mark.parametrize("keys", [[("a", "b"), ("a",)], [("a", "b", "c")]])
def test_a_key_of_another_number_of_parts_is_refused(keys: list[tuple[str, ...]]) -> None:
    with pytest.raises(ValueError, match="parts"):
        KeyBlock.of(keys, 2)
