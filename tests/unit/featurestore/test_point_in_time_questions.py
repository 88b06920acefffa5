"""Questions are asked once each, and never two at a time that Feast takes for one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from contracts.errors import UsageError
from contracts.features import CATEGORY_ROLLING, SALES_ROLLING, STORE_ROLLING
from contracts.settings import Settings
from featurestore.feast_offline import FeastOfflineStore, distinct_questions, told_apart
from featurestore.materialize import BATCH_VIEWS, materialize


def questions(*rows: tuple[str, str, int]) -> pa.Table:
    stores, products, instants = zip(*rows, strict=True)
    return pa.table({"store_id": stores, "product_id": products, "as_of_ms": instants})


def test_a_question_that_is_asked_twice_is_joined_once() -> None:
    asked, row_of_question = distinct_questions(questions(("s", "p", 1), ("s", "p", 2), ("s", "p", 1)), [SALES_ROLLING.name])

    assert row_of_question == [0, 1, 0]
    assert asked[["as_of_ms", "question_row"]].to_numpy().tolist() == [[1, 0], [2, 1]]


def test_keys_that_read_the_same_when_written_together_are_asked_apart() -> None:
    views = [SALES_ROLLING.name, STORE_ROLLING.name]
    asked, _ = distinct_questions(questions(("s1", "1p", 5), ("s11", "p", 5), ("s1", "1p", 6), ("s2", "p", 5)), views)

    parts = told_apart(asked, views)

    assert sorted(len(part) for part in parts) == [1, 3]
    for part in parts:
        written = part["store_id"] + part["product_id"] + part["as_of_ms"].astype(str)
        assert written.is_unique
    assert sorted(row for part in parts for row in part["question_row"]) == [0, 1, 2, 3]


def test_the_keys_of_every_view_are_told_apart() -> None:
    views = [SALES_ROLLING.name, CATEGORY_ROLLING.name]
    both = questions(("s1", "1p", 5), ("s11", "p", 5), ("s11", "q", 5)).append_column("category_id", pa.array(["c", "1c", "c"]))
    asked, _ = distinct_questions(both.append_column("more", pa.array([1, 2, 3])), views)

    for part in told_apart(asked, views):
        for key in ("product_id", "category_id"):
            assert (part["store_id"] + part[key]).is_unique
    assert sum(map(len, told_apart(asked, views))) == 3


def test_a_question_without_a_key_of_a_view_is_refused() -> None:
    with pytest.raises(UsageError, match="category_id"):
        distinct_questions(questions(("s", "p", 1)), [CATEGORY_ROLLING.name])


def test_a_column_named_like_a_feature_is_refused() -> None:
    asked = questions(("s", "p", 1)).append_column("on_hand", pa.array([1]))

    with pytest.raises(ValueError, match="on_hand"):
        FeastOfflineStore(Settings()).point_in_time(asked, ["stock"])


def test_views_of_the_stream_cannot_be_materialized_over_the_workers_rows() -> None:
    assert set(BATCH_VIEWS) == {"demand_daily", "product", "store"}
    with pytest.raises(UsageError, match="sales_rolling"):
        materialize(Settings(), ["sales_rolling"], 0)
