"""What Kafka dropped before it was read: told before a query starts."""

from __future__ import annotations

import pytest

from contracts.errors import DataGateError
from lake import losses

SALES, PRICES = ("sales", 0), ("prices", 0)


def test_what_lies_between_bronze_and_kafkas_first_offset_is_lost() -> None:
    assert losses.found({SALES: (8, 20), PRICES: (3, 5)}, {SALES: 5, PRICES: 3}, {"sales", "prices"}) == {SALES: (5, 7)}


def test_a_partition_without_a_row_has_lost_what_is_gone_of_a_topic_that_bronze_had_met() -> None:
    assert losses.found({SALES: (8, 8)}, {}, {"sales"}) == {SALES: (0, 7)}


def test_what_was_gone_before_bronze_met_the_topic_is_no_loss_and_none_later() -> None:
    assert losses.found({SALES: (8, 20)}, {}, set()) == {}
    assert losses.before_us({SALES: (8, 20), PRICES: (0, 5)}, {"sales", "prices"}, ()) == {SALES: (0, 7)}


def test_a_partition_that_was_read_has_lost_what_went_since_though_its_topic_is_not_noted() -> None:
    kafka, read = {SALES: (8, 20), PRICES: (3, 5)}, {SALES: 5}

    assert losses.found(kafka, read, set()) == {SALES: (5, 7)}
    assert losses.before_us(kafka, {"sales", "prices"}, read) == {PRICES: (0, 2)}


def test_the_refusal_names_the_offsets_and_the_way_on() -> None:
    with pytest.raises(
        DataGateError, match=r"no longer has 4 offsets .* sales/0 offsets 5 to 7, prices/0 offsets 1 to 1"
    ) as raised:
        losses.refuse({SALES: (5, 7), PRICES: (1, 1)})

    assert "rd360 lake bronze --accept-loss" in raised.value.hint
