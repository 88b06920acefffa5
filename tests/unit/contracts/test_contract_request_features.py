"""What is made of rows only when a question is asked."""

from __future__ import annotations

from contracts.request_features import (
    OPEN_ENDED,
    REQUEST_FEATURES,
    PlannedPrice,
    days_of_cover,
    days_to_price_change,
    discount,
    request_features,
)
from tests.builders import HOUR, NOON

BASE = {"plan_from": [0], "plan_to": [OPEN_ENDED], "plan_price": [250], "plan_list_price": [250], "plan_promoted": [0]}
OFFER = {"plan_from": [12], "plan_to": [14], "plan_price": [200], "plan_list_price": [250], "plan_promoted": [1]}


def test_cover_is_the_stock_at_the_usual_rate() -> None:
    assert days_of_cover(14, 56) == 7.0
    assert days_of_cover(-2, 56) == 0.0, "a count below nothing covers no day"
    assert days_of_cover(None, 56) is None
    assert days_of_cover(14, 0) is None, "what never sells is no cover for ever: it is not known"
    assert days_of_cover(14, None) is None


def test_a_discount_is_a_share_of_the_list_price() -> None:
    assert discount(PlannedPrice(200, 250, promoted=True)) == 1 - 200 / 250
    assert discount(PlannedPrice(0, 0, promoted=False)) is None
    assert discount(None) is None


def test_the_next_change_is_the_next_day_with_another_price_or_another_promotion() -> None:
    assert days_to_price_change(10, OFFER, BASE) == 2
    assert days_to_price_change(12, OFFER, BASE) == 3, "the day after the offer's last one"
    assert days_to_price_change(15, OFFER, BASE) is None
    assert days_to_price_change(10, None, BASE) is None
    assert days_to_price_change(10, None, None) is None
    same = OFFER | {"plan_price": [250], "plan_promoted": [0]}
    assert days_to_price_change(10, same, BASE) is None, "a plan that changes nothing is no change"


def test_all_of_them_are_there_with_and_without_rows() -> None:
    rolling, stock = {"last_sale_ms": NOON - 3 * HOUR, "units_28d": 28}, {"on_hand": 5}
    found = request_features(NOON, 13, rolling, stock, (OFFER, BASE))
    assert list(found) == [feature.name for feature in REQUEST_FEATURES]
    assert list(found.values()) == [3.0, 5.0, 200, 1 - 200 / 250, 1, 2]
    assert set(request_features(NOON, 13, None, None, (None, None)).values()) == {None}
