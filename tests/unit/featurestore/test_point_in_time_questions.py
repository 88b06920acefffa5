"""Questions are asked once each, and never two at a time that Feast takes for one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from contracts.errors import UsageError
from contracts.settings import Settings
from featurestore.feast_offline import FeastOfflineStore, distinct_questions, told_apart
from featurestore.materialize import BATCH_VIEWS, materialize


def questions(*rows: tuple[str, str, int]) -> pa.Table:
    stores, products, instants = zip(*rows, strict=True)
    return pa.table({"store_id": stores, "product_id": products, "as_of_ms": instants})


def test_a_question_that_is_asked_twice_is_joined_once() -> None:
    asked, row_of_question = distinct_questions(questions(("s", "p", 1), ("s", "p", 2), ("s", "p", 1)))

    assert row_of_question == [0, 1, 0]
    assert asked[["as_of_ms", "question_row"]].to_numpy().tolist() == [[1, 0], [2, 1]]


def test_keys_that_read_the_same_when_written_together_are_asked_apart() -> None:
    asked, _ = distinct_questions(questions(("s1", "1p", 5), ("s11", "p", 5), ("s1", "1p", 6), ("s2", "p", 5)))

    parts = told_apart(asked)

    assert sorted(len(part) for part in parts) == [1, 3]
    for part in parts:
        written = part["store_id"] + part["product_id"] + part["as_of_ms"].astype(str)
        assert written.is_unique
    assert sorted(row for part in parts for row in part["question_row"]) == [0, 1, 2, 3]


def test_a_column_named_like_a_feature_is_refused() -> None:
    asked = questions(("s", "p", 1)).append_column("on_hand", pa.array([1]))

    with pytest.raises(ValueError, match="on_hand"):
        FeastOfflineStore(Settings()).point_in_time(asked, ["stock"])


def test_views_of_the_stream_cannot_be_materialized_over_the_workers_rows() -> None:
    assert set(BATCH_VIEWS) == {"demand_daily", "product", "store"}
    with pytest.raises(UsageError, match="sales_rolling"):
        materialize(Settings(), ["sales_rolling"], 0)
