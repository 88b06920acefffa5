"""Rows as columns are read like any other rows, and are of exactly the view's columns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from contracts.features import CATALOGUE_FINGERPRINT
from contracts.settings import Settings
from featurestore.keys import key_columns, value_columns
from featurestore.row_block import NULL, BlockLayout, RowBlock
from featurestore.row_writer import RowWriter

LAYOUT = BlockLayout("stock", ("source_offset", "as_of_ms", "on_hand", "counted_ms"), ("hours_out_of_stock_28d",))
KEYS = [("s1", "p1"), ("s1", "p2"), ("s2", "p1")]
WHOLE = [[7, 1_764_000_000_000, 3, 1_763_000_000_000], [8, 1_764_000_000_001, NULL, NULL], [9, 1_764_000_000_002, -4, 0]]
DOUBLES = [[1.5], [np.nan], [-0.0]]


def a_block(**changes: Any) -> RowBlock:
    arrays = {"whole": np.array(WHOLE, np.int64), "doubles": np.array(DOUBLES, np.float64)}
    return RowBlock(**{"layout": LAYOUT, "keys": KEYS, **arrays, **changes})


def test_a_row_has_all_columns_of_its_view_as_plain_values() -> None:
    row = a_block()[0]

    assert set(row) == {*key_columns("stock"), *value_columns("stock")}
    assert row == {
        "store_id": "s1",
        "product_id": "p1",
        "as_of_ms": 1_764_000_000_000,
        "source_offset": 7,
        "fingerprint": CATALOGUE_FINGERPRINT,
        "on_hand": 3,
        "counted_ms": 1_763_000_000_000,
        "hours_out_of_stock_28d": 1.5,
    }
    assert {type(value) for value in row.values()} == {str, int, float}


def test_a_null_is_none() -> None:
    row = a_block()[1]
    assert (row["on_hand"], row["counted_ms"], row["hours_out_of_stock_28d"]) == (None, None, None)


def test_part_of_a_block_is_a_block_of_those_rows_over_the_same_arrays() -> None:
    block = a_block()
    part = block[1:]

    assert isinstance(part, RowBlock)
    assert list(part) == list(block)[1:] == [block[-2], block[-1]]
    assert np.shares_memory(part.whole, block.whole)
    assert np.shares_memory(part.doubles, block.doubles)
    assert len(block[3:]) == 0


def test_the_latest_rows_of_keys_are_the_last_of_each() -> None:
    again = a_block(keys=[KEYS[0], KEYS[1], KEYS[0]])

    assert list(again.latest([KEYS[0], KEYS[0]])) == [again[2]]
    assert list(again.latest([])) == []


def test_a_row_that_is_not_there_is_an_index_error() -> None:
    with pytest.raises(IndexError):
        a_block()[3]


def test_a_block_stays_as_it_is() -> None:
    with pytest.raises(ValueError, match="read-only"):
        a_block().whole[0, 0] = 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"keys": KEYS[:2]},
        {"whole": np.array(WHOLE, np.float64)},
        {"whole": np.array(WHOLE, np.int64)[:, 1:]},
        {"doubles": np.array(DOUBLES, np.float32)},
        {"doubles": np.zeros(3)},
    ],
)
def test_arrays_that_do_not_fit_the_columns_and_keys_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an array of"):
        a_block(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"whole": LAYOUT.whole[1:]},
        {"whole": (*LAYOUT.whole, "on_hand")},
        {"whole": (*LAYOUT.whole, "units_1h")},
        {"doubles": (*LAYOUT.doubles, "on_hand")},
        {"whole": (*LAYOUT.whole, *LAYOUT.doubles), "doubles": ()},
        {"view": "sales_rolling"},
    ],
)
def test_columns_that_are_not_exactly_the_views_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not the columns of"):
        dataclasses.replace(LAYOUT, **wrong)


def test_a_view_with_other_columns_than_numbers_has_no_blocks() -> None:
    with pytest.raises(ValueError, match="plan_from"):
        BlockLayout("price_plan", ("as_of_ms", "source_offset"), ())


def test_a_view_that_is_none_is_refused() -> None:
    with pytest.raises(KeyError, match="nothing"):
        BlockLayout("nothing", ("as_of_ms", "source_offset"), ())


def test_a_block_of_another_view_is_not_written() -> None:
    with pytest.raises(ValueError, match="rows of stock, not of sales_rolling"):
        RowWriter(Settings()).write("sales_rolling", a_block())
