"""The stock and the price kernels by example; their laws are in tests/property."""

from __future__ import annotations

import datetime as dt

from contracts.request_features import OPEN_ENDED, planned_price
from contracts.windows import EPOCH, StoreCalendars, calendar
from featurestore.pieces import cut, pieces
from streams import prices, stock
from streams.key_table import KeyTable
from streams.standing import stock_kernel
from tests.builders import DAY, HOUR, MINUTE, NOON, price
from tests.builders import stock as movement

LONDON = calendar("Europe/London")


def on_hand(*events: stock.InventoryEvent, lateness: int = DAY) -> int | None:
    state, on_hand = stock.StockState(), None
    for offset, event in enumerate(events):
        stock.apply(state, event, offset, lateness)
        on_hand = stock.settle(state, LONDON, lateness)[1]["on_hand"]
    return on_hand


def hours_out(state: stock.StockState) -> float | None:
    hours: float | None = stock.settle(state, LONDON, DAY)[1]["hours_out_of_stock_28d"]
    return hours


def test_movements_alone_make_no_stock() -> None:
    assert on_hand(movement("i-1", NOON, "receipt", 12)) is None


def test_a_count_stands_and_later_movements_are_added() -> None:
    count, delivery, loss = (
        movement("i-2", NOON, "count", 5),
        movement("i-3", NOON + 1, "receipt", 12),
        movement("i-4", NOON + 2, "adjustment", -1),
    )
    assert on_hand(count, delivery, loss) == 16
    assert on_hand(loss, delivery, count) == 16, "whatever came first"


def test_a_count_has_seen_what_came_before_it() -> None:
    assert on_hand(movement("i-1", NOON - 1, "receipt", 12), movement("i-2", NOON, "count", 5)) == 5
    assert on_hand(movement("i-2", NOON, "count", 5), movement("i-1", NOON - 1, "receipt", 12)) == 5


def test_at_one_instant_the_event_id_decides() -> None:
    assert on_hand(movement("b", NOON, "count", 5), movement("a", NOON, "receipt", 1)) == 5
    assert on_hand(movement("b", NOON, "count", 5), movement("c", NOON, "receipt", 1)) == 6


def test_a_movement_exactly_as_old_as_is_allowed_can_still_be_preceded_by_a_count() -> None:
    base = movement("i-0", NOON - 2 * DAY, "count", 100)
    moved, newest = movement("i-5", NOON - DAY, "receipt", 7), movement("i-9", NOON, "adjustment", 1)
    assert on_hand(base, moved, newest, movement("i-6", NOON - DAY, "count", 50)) == 51
    assert on_hand(base, moved, newest, movement("i-4", NOON - DAY, "count", 50)) == 58


def test_old_movements_are_folded() -> None:
    state = stock.StockState()
    for day in range(50):
        stock.apply(state, movement(f"i-{day}", NOON + day * DAY, "receipt", 1), day, DAY)
        stock.settle(state, LONDON, DAY)
    assert len(state.moves) == 2


def test_the_hours_without_stock_run_until_a_delivery_and_leave_the_window_day_by_day() -> None:
    state = stock.StockState()
    for offset, event in enumerate(
        [
            movement("i-1", NOON, "count", 0),
            movement("i-2", NOON + 5 * HOUR, "receipt", 12),
            movement("i-3", NOON + DAY, "count", 0),
        ]
    ):
        stock.apply(state, event, offset, DAY)
    assert hours_out(state) == 5.0
    state.as_of = NOON + DAY + 90 * MINUTE
    assert hours_out(state) == 6.5
    state.as_of = LONDON.day_start(LONDON.day(NOON) + 30)
    whole_window = 28 * 24.0
    assert hours_out(state) == whole_window
    assert len(state.out) == 0, "the first span has left the window, the second one runs on"


def planned(*events: prices.PriceEvent) -> prices.PriceState:
    state = prices.PriceState()
    for offset, event in enumerate(events):
        prices.apply(state, event, offset, DAY)
        prices.settle(state, DAY)
    return state


def features_of(state: prices.PriceState) -> dict[str, list[int]]:
    return prices.features(state)


def test_a_promotion_beats_the_base_price_on_its_days_only() -> None:
    base = price("a-1", NOON, 250)
    promotion = price("a-2", NOON, 199, valid_from=dt.date(2025, 6, 20), valid_to=dt.date(2025, 6, 22), promotion_id="summer")
    row = features_of(planned(promotion, base))
    by_day = {day: planned_price((dt.date(2025, 6, day) - EPOCH).days, None, row) for day in (19, 20, 22, 23)}
    assert {day: plan and (plan.price, plan.promoted) for day, plan in by_day.items()} == {
        19: (250, False),
        20: (199, True),
        22: (199, True),
        23: (250, False),
    }


def test_plans_that_are_over_are_dropped_and_superseded_ones_too() -> None:
    old = price("a-1", NOON - 40 * DAY, 250, valid_from=dt.date(2025, 5, 1))
    over = price("a-2", NOON - 30 * DAY, 199, valid_from=dt.date(2025, 5, 10), valid_to=dt.date(2025, 5, 12))
    now = price("a-3", NOON, 260, valid_from=dt.date(2025, 6, 10))
    state = planned(old, over, now)
    assert features_of(state)["plan_price"] == [260]
    assert features_of(state)["plan_to"] == [OPEN_ENDED]
    assert len(state.plans) == 1


def test_states_survive_storage() -> None:
    kernel, key = stock_kernel(StoreCalendars("Europe/London"), DAY), ("s-1", "p-1")
    batch = kernel.batch(KeyTable())
    for offset, event in enumerate((movement("i-1", NOON, "count", 5), movement("i-2", NOON + 1, "transfer", -2))):
        batch.add(event, offset)
    state = kernel.take(batch, pieces([b""])).touched.settled
    (row,) = state.rows(slice(None))
    assert row["on_hand"] == 3
    again = kernel.settle([key], state.states)
    assert (cut(again.states), again.due.tolist(), again.rows(slice(None))) == (cut(state.states), state.due.tolist(), [row])
