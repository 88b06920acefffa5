"""The laws of stock and prices: any order, repetition, batching and crash gives what the oracle says of all events at once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.request_features import planned_price
from contracts.topics import INVENTORY, PRICES, SALES
from contracts.windows import EPOCH, WINDOWS
from streams.sales import SalesKernel
from streams.standing import price_kernel, stock_kernel
from tests.builders import DAY, NOON, incoming, price, stock
from tests.oracles.standing import on_hand, price_on
from tests.stream_machine import ANY_LATENESS, CALENDARS, Machine, run, times, unique

movements = st.builds(
    lambda n, at, kind, quantity: stock(f"i-{n}", at, kind, quantity),
    st.integers(0, 40),
    times,
    st.sampled_from(["count", "receipt", "adjustment", "transfer"]),
    st.integers(-20, 20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(movements, min_size=1, max_size=25), st.data())
def test_stock_equals_the_oracle_whatever_the_order_the_batches_and_the_crashes(events: list[Any], data: st.DataObject) -> None:
    log = [incoming(event, offset, INVENTORY) for offset, event in enumerate(unique(events))]
    machine = Machine(stock_kernel(CALENDARS, ANY_LATENESS), log[0].partition, ANY_LATENESS)
    run(machine, log, data)
    check_stock(machine, unique(events))
    machine.tick(NOON + data.draw(st.integers(60_000, 40 * DAY), label="later"), "none")
    check_stock(machine, unique(events))


def check_stock(machine: Machine, events: list[Any]) -> None:
    row = machine.online["s-1", "p-1"]
    expected = on_hand(events, row["as_of_ms"], CALENDARS.of("s-1").window_start(WINDOWS["28d"], row["as_of_ms"]))
    assert {name: row[name] for name in expected} == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10 * DAY), movements), min_size=1, max_size=40), st.data())
def test_folding_old_movements_changes_nothing(steps: list[tuple[int, Any]], data: st.DataObject) -> None:
    """In the order of time, with an allowed lateness that folds: still the latest count and all movements after it."""
    at, events = NOON - 400 * DAY, []
    for number, (step, event) in enumerate(steps):
        at += step
        events.append(stock(f"i-{number:03d}", at, event.kind, event.quantity))
    log = [incoming(event, offset, INVENTORY) for offset, event in enumerate(events)]
    machine = Machine(stock_kernel(CALENDARS, DAY), log[0].partition, DAY)
    run(machine, log, data)
    assert not machine.late
    check_stock(machine, events)


plans = st.builds(
    lambda n, at, first, length, amount, promoted: price(
        f"a-{n}",
        at,
        amount,
        valid_from=dt.date(2025, 5, 20) + dt.timedelta(days=first),
        valid_to=None if length is None else dt.date(2025, 5, 20) + dt.timedelta(days=first + length),
        promotion_id="promo" if promoted else None,
    ),
    st.integers(0, 30),
    times,
    st.integers(-30, 60),
    st.one_of(st.none(), st.integers(0, 20)),
    st.integers(1, 900),
    st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(plans, min_size=1, max_size=15), st.data())
def test_every_day_to_come_has_the_price_that_the_oracle_says(events: list[Any], data: st.DataObject) -> None:
    events = unique(events)
    log = [incoming(event, offset, PRICES) for offset, event in enumerate(events)]
    machine = Machine(price_kernel(ANY_LATENESS), log[0].partition, ANY_LATENESS)
    run(machine, log, data)
    row = machine.online["*", "p-1"]
    assert row["as_of_ms"] == max(event.event_time for event in events)
    for day in range(row["as_of_ms"] // DAY, row["as_of_ms"] // DAY + 60):
        planned = planned_price(day, None, row)
        expected = price_on(events, day, EPOCH)
        assert (None if planned is None else (planned.price, planned.list_price, planned.promoted)) == expected


def test_the_machine_itself_reads_every_topic() -> None:
    assert {kernel.topic for kernel in (SalesKernel(CALENDARS, 0), stock_kernel(CALENDARS, 0), price_kernel(0))} == {
        SALES,
        INVENTORY,
        PRICES,
    }
