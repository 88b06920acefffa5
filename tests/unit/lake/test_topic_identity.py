"""A topic that is not the one that was read: told before a query starts."""

from __future__ import annotations

import pytest

from contracts.errors import DataGateError
from lake import topic_identity

SALES = ("sales", 0)


def test_a_topic_that_ends_before_bronze_is_another_one() -> None:
    topic_identity.refuse_shorter({SALES: (0, 5)}, {SALES: 5, ("gone", 0): 3})
    with pytest.raises(DataGateError, match="sales/0 ends before 4 in Kafka and 5 in bronze"):
        topic_identity.refuse_shorter({SALES: (0, 4)}, {SALES: 5})


def test_a_topic_of_another_id_is_another_one_however_long_it_is() -> None:
    topic_identity.refuse_another({"sales": "a", "gone": "x"}, {"sales": "a", "new": "b"})
    with pytest.raises(DataGateError, match="sales has id b, not a") as raised:
        topic_identity.refuse_another({"sales": "a"}, {"sales": "b"})

    assert "delete its row from lake.bronze.topics" in raised.value.hint
