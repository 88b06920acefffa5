"""The sales kernel by example; its laws are in tests/property."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.windows import calendar
from streams import state as kernel
from streams.state import SalesState, sales_of
from tests.builders import DAY, HOUR, MINUTE, NOON, line, named, receipt

LONDON = calendar("Europe/London")


def fed(*receipts: kernel.Receipt, product_id: str = "p-1") -> SalesState:
    state = SalesState()
    for offset, one in enumerate(receipts):
        for product, sale in sales_of(one, LONDON):
            if product == product_id:
                kernel.apply(state, sale, offset, DAY * 400)
    kernel.settle(state, LONDON, DAY * 400)
    return state


def features_of(state: SalesState) -> dict[str, Any]:
    return named(kernel.GROUPS, kernel.settle(state, LONDON, DAY * 400)[1])


def test_lines_of_one_product_on_one_receipt_are_one_contribution() -> None:
    state = fed(receipt("r-1", NOON, line(quantity=2, unit_price=100), line(quantity=1, unit_price=120), line("p-2")))
    features = features_of(state)
    assert (features["units_1h"], features["receipts_1h"], features["sales_24h"]) == (3, 1, 320)
    assert features["last_price"] == 120, "the dearest line of the product on the receipt"


def test_a_return_lowers_nothing_but_is_counted() -> None:
    features = features_of(fed(receipt("r-1", NOON, line(quantity=2)), receipt("r-2", NOON + 1, line(quantity=-1))))
    assert (features["units_28d"], features["returned_units_28d"], features["refunds_28d"]) == (2, 1, 250)
    assert features["receipts_28d"] == 1
    assert features["last_sale_ms"] == NOON, "a return is no sale"


def test_without_any_sale_ratios_and_last_values_are_unknown() -> None:
    features = features_of(fed(receipt("r-1", NOON, line(quantity=-1))))
    assert features["mean_price_28d"] is None
    assert features["promotion_share_28d"] is None
    assert features["last_price"] is None


def test_a_silent_product_shows_zero_within_one_hop_with_no_event() -> None:
    state = fed(receipt("r-1", NOON + MINUTE))
    due = kernel.due(state, LONDON)
    assert due == NOON + 65 * MINUTE, "the tile 12:00 to 12:05 leaves the hour's 12 whole tiles at 13:05"
    kernel.advance(state, due - 1)
    assert features_of(state)["units_1h"] == 1
    kernel.advance(state, due)
    assert features_of(state)["units_1h"] == 0
    assert features_of(state)["units_24h"] == 1


def test_after_its_last_window_a_row_is_written_at_each_local_midnight_until_it_is_given_up() -> None:
    state = fed(receipt("r-1", NOON))
    kernel.advance(state, NOON + 60 * DAY)
    assert features_of(state) == features_of(SalesState()) | {"last_price": 250, "last_sale_ms": NOON}
    assert kernel.due(state, LONDON) == LONDON.day_start(LONDON.day(state.as_of) + 1)
    kernel.advance(state, NOON + 365 * DAY)
    assert kernel.due(state, LONDON) is None
    assert features_of(state)["last_sale_ms"] == NOON


def test_today_begins_at_the_stores_midnight() -> None:
    midnight = LONDON.day_start(LONDON.day(NOON))
    assert midnight == NOON - 13 * HOUR, "British summer time"
    features = features_of(fed(receipt("r-1", midnight - 1), receipt("r-2", midnight), receipt("r-3", NOON)))
    assert (features["units_today"], features["units_7d"]) == (2, 3)


def test_time_never_goes_back() -> None:
    state = fed(receipt("r-1", NOON))
    kernel.advance(state, NOON - HOUR)
    assert state.as_of == NOON


def under(*categories: str | None) -> SalesState:
    """A sale a day, each under a category."""
    return fed(*[receipt(f"r-{n}", NOON + n * DAY, line(category_id=category)) for n, category in enumerate(categories)])


def units_by_category(state: SalesState) -> dict[str, int]:
    """Units by category in the tiles of days."""
    return {name: sum(tile[0] for tile in rings[2].values()) for name, rings in kernel.by_category(state)}


def test_what_was_sold_under_a_category_stays_in_it() -> None:
    state = under("bread", "cake", "bread", None)
    assert units_by_category(state) == {"bread": 2, "cake": 1, "": 1}
    assert features_of(state)["units_28d"] == 4
    assert units_by_category(kernel.decode(kernel.encode(state))) == units_by_category(state)


def test_where_lines_of_a_product_name_several_categories_the_last_by_name_has_all() -> None:
    lines = [line(quantity=2, category_id="bread"), line(quantity=3), line(quantity=4, category_id="cake"), line("p-2")]
    assert units_by_category(fed(receipt("r-1", NOON, *lines))) == {"cake": 9}


def test_a_product_that_was_moved_for_good_is_of_its_new_category_and_the_old_one_keeps_its_name() -> None:
    state = under("bread", *["cake"] * 40)
    assert (state.category, units_by_category(state)) == ("cake", {"cake": 29, "bread": 0})


def test_nothing_is_kept_of_a_time_when_tills_named_no_category() -> None:
    state = under(None, *["bread"] * 40)
    assert (state.category, state.elsewhere) == ("bread", {})


def test_a_state_survives_storage() -> None:
    state = fed(*[receipt(f"r-{n}", NOON - n * 7 * HOUR, line(quantity=n % 3 + 1, promotion_id="x")) for n in range(60)])
    stored = kernel.encode(state)
    assert kernel.decode(stored) == state
    assert kernel.encode(kernel.decode(stored)) == stored


@pytest.mark.parametrize("sales_a_day", [100])
def test_the_state_of_a_fast_mover_stays_small(sales_a_day: int) -> None:
    step = DAY // sales_a_day
    state = fed(*[receipt(f"r-{n:06d}", NOON + n * step) for n in range(30 * sales_a_day)])
    kernel.settle(state, LONDON, DAY)
    assert len(state.seen) == sales_a_day + 1
    assert [len(ring) for ring in state.rings] == [5, 25, 29], "a sale every 14 minutes"
    assert len(kernel.encode(state)) < 7_000, "most of it the 673 hours of four weeks, in all of which it sold"
