"""The parts of the benches that need no server: what is concluded from runs, what is sent, and when a row is wrong."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from contracts.features import AS_OF, SOURCE_OFFSET
from tests.bench.contestants import events_done
from tests.bench.pace import Pace, concluded
from tests.bench.readable import fault_of
from tests.bench.receipts import Filled, Placed, each_key_once, first_lines, over_keys, store_grid
from tests.bench.stream import bars, turns
from tests.builders import DAY, HOUR, MINUTE, NOON, line, receipt
from tests.oracles.rolling import sales_rolling


def a_run(number: int, contestant: str, lines_per_second: float) -> dict[str, Any]:
    measures = {"receipts_per_second": lines_per_second / 10, "lines_per_cpu_second": lines_per_second * 2}
    return {"round": number, "contestant": contestant, "lines_per_second": lines_per_second, **measures}


def test_the_median_and_the_spread_of_each_contestant_are_concluded() -> None:
    found = concluded([a_run(number, "worker", speed) for number, speed in enumerate((10.0, 20.0, 40.0))])
    assert found["worker_lines_per_second"] == 20.0
    assert found["worker_lines_per_second_spread"] == 1.5
    assert found["worker_receipts_per_second"] == 2.0


def test_a_ratio_is_taken_within_each_round() -> None:
    runs = [a_run(0, "worker", 30.0), a_run(0, "quix", 10.0), a_run(1, "quix", 20.0), a_run(1, "worker", 40.0)]
    runs += [a_run(2, "worker", 50.0), a_run(2, "quix", 20.0)]
    assert concluded(runs)["worker_to_quix"] == 2.5


def test_a_pace_counts_the_lines_of_its_receipts() -> None:
    filled = Filled(receipts=100, lines=1_000, keys=50, sample={})
    found = Pace(receipts=90, seconds=3.0, cpu_seconds=2.0).as_run(filled)
    assert found["lines_per_second"] == 300.0
    assert found["lines_per_cpu_second"] == 450.0


def test_each_contestant_comes_first_in_turn() -> None:
    taking_part: Any = {"worker": None, "bare_loop": None, "quix": None}
    orders = [[name for name, _ in turns(taking_part, number)] for number in range(3)]
    assert {order[0] for order in orders} == set(taking_part)
    assert all(set(order) == set(taking_part) for order in orders)


def test_a_quick_form_is_held_to_what_it_wrote_and_not_to_its_speed() -> None:
    assert {bar.figure for bar in bars(with_quix=True, quick=True)} == {"wrong_rows", "rows_checked"}
    assert "worker_to_quix" in {bar.figure for bar in bars(with_quix=True, quick=False)}
    assert "worker_to_quix" not in {bar.figure for bar in bars(with_quix=False, quick=False)}


def test_receipts_end_with_the_one_that_reaches_the_lines() -> None:
    receipts = [receipt("a", NOON, line("x"), line("y")), receipt("b", NOON, line("x")), receipt("c")]
    assert [one.event_id for one in first_lines(receipts, 3)] == ["a", "b"]
    assert len(list(first_lines(receipts, None))) == 3


@pytest.mark.parametrize("keys", [1_000, 10_000, 100_000])
def test_every_key_is_named_once_before_lines_are_drawn_from_them(keys: int) -> None:
    stores, products = store_grid(keys)
    assert stores * products == keys
    first = [(one.store_id, x.product_id) for one in each_key_once(keys, NOON) for x in one.lines]
    assert len(first) == len(set(first)) == keys
    drawn = list(itertools.islice(over_keys(keys, 5_000, NOON, HOUR, "t"), 500))
    assert {(one.store_id, x.product_id) for one in drawn for x in one.lines} <= set(first)
    assert [one.event_time for one in drawn] == sorted(one.event_time for one in drawn)


def test_the_flushed_receipts_are_read_from_the_metrics() -> None:
    text = 'rd360_stream_events_total{topic="prices"} 3.0\nrd360_stream_events_total{topic="sales"} 41.0\n'
    assert events_done(f"# TYPE rd360_stream_events counter\n{text}") == 41
    assert events_done("") == 0


def test_a_row_is_right_when_it_holds_the_last_receipt_and_equals_the_oracle() -> None:
    key = ("s-1", "p-1")
    placed = [Placed(receipt(f"r-{n}", NOON + n * MINUTE), 0, n) for n in range(3)]
    as_of = NOON + 2 * DAY
    sent = [{"event_id": f"r-{n}", "event_time": NOON + n * MINUTE, "store_id": "s-1"} for n in range(3)]
    lines = [{"product_id": "p-1", "quantity": 1, "unit_price": 250, "promotion_id": None}]
    row = sales_rolling([{**one, "lines": lines} for one in sent], *key, as_of, "UTC") | {AS_OF: as_of, SOURCE_OFFSET: 2}
    assert fault_of(key, row, placed, "UTC") is None
    assert fault_of(key, None, placed, "UTC") == "no row"
    assert "last receipt" in str(fault_of(key, row | {SOURCE_OFFSET: 1}, placed, "UTC"))
    assert "before the last sale" in str(fault_of(key, row | {AS_OF: NOON}, placed, "UTC"))
    assert "units_7d" in str(fault_of(key, row | {"units_7d": 4}, placed, "UTC"))
