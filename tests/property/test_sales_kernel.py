"""The laws of sales and their sums: any order, repetition, batching and crash gives what the oracle says of all at once."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import decode_receipt
from contracts.features import SALES_ROLLING
from contracts.settings import Settings
from streams.processor import Changes, Incoming
from streams.rebuilt import Rebuilder, headers
from streams.sales import SalesKernel
from tests.builders import DAY, NOON, incoming, line, receipt
from tests.oracles.rolling import category_rolling, sales_rolling, store_rolling
from tests.stream_machine import ANY_LATENESS, CALENDARS, CRASHES, STORES, Machine, halves, run, times, unique

lines = st.builds(
    line,
    product_id=st.sampled_from(["p-1", "p-2"]),
    quantity=st.integers(-3, 5).filter(bool),
    unit_price=st.integers(0, 900),
    promotion_id=st.sampled_from([None, None, "promo"]),
    category_id=st.sampled_from([None, "bread", "bread", "cake"]),
)
receipts = st.builds(
    lambda event_id, event_time, some, store_id: receipt(f"r-{event_id}", event_time, *some, store_id=store_id),
    st.integers(0, 30),  # few ids: repetitions are common
    times,
    st.lists(lines, min_size=1, max_size=4),
    st.sampled_from(STORES),
)


def of_bread(event: Any) -> Any:
    """One line of one product, under the category that an event's first line names."""
    return line("p-1", category_id=event.lines[0].category_id)


def sales_machines(events: list[Any], lateness: int) -> tuple[dict[int, Machine], dict[int, list[Incoming]]]:
    messages = [incoming(event, offset) for offset, event in enumerate(events)]
    logs: dict[int, list[Incoming]] = {}
    for message in messages:
        logs.setdefault(message.partition, []).append(message)
    kernel = SalesKernel(CALENDARS, lateness)
    return {number: Machine(kernel, number, lateness) for number in logs}, logs


def check_moments(machine: Machine, log: list[Incoming]) -> None:
    """Each sum's row is of one moment, that of its offset: not of some products as of now and others as of before a crash."""
    for key, row in machine.sums.items():
        sent = [_json(m) for m in log if m.offset <= row["source_offset"] and m.offset not in machine.late]
        expected = summed(sent, key, row["as_of_ms"])
        assert {name: row[name] for name in expected} == expected


def summed(sent: list[Any], key: tuple[str, ...], as_of: int) -> dict[str, Any]:
    """What the oracle says of a store, or of one of its categories."""
    zone = CALENDARS.zone(key[0])
    if len(key) == 1:
        return store_rolling(sent, key[0], as_of, zone)
    return category_rolling(sent, key[0], key[1], as_of, zone) or {"a sale": None}


def keys_of_sums(sent: list[Any]) -> set[tuple[str, ...]]:
    """The stores that sold anything, and the categories that they sold it under."""
    found: set[tuple[str, ...]] = set()
    for one in sent:
        for product_id in {x["product_id"] for x in one["lines"]}:
            named = [x["category_id"] for x in one["lines"] if x["product_id"] == product_id and "category_id" in x]
            found |= {(one["store_id"],), *((one["store_id"], category) for category in [max(named, default=None)] if category)}
    return found


def check_rows(machine: Machine, log: list[Incoming]) -> None:
    sent = [json.loads(message.value or b"") for message in log if message.offset not in machine.late]
    for (store_id, product_id), row in machine.online.items():
        expected = sales_rolling(sent, store_id, product_id, row["as_of_ms"], CALENDARS.zone(store_id))
        assert {name: row[name] for name in expected} == expected
        assert set(row) - set(expected) == {"store_id", "product_id", "as_of_ms", "source_offset", "fingerprint"}
    check_sums(machine, sent)  # all that was committed is in them, before any tick: where old events go on there is none
    machine.tick(NOON + 60_000, "none")
    check_sums(machine, sent)


def check_sums(machine: Machine, sent: list[Any]) -> None:
    assert set(machine.sums) == keys_of_sums(sent)
    for key, row in machine.sums.items():
        expected = summed(sent, key, row["as_of_ms"])
        assert {name: row[name] for name in expected} == expected
        assert set(row) - set(expected) - {"category_id"} == {"store_id", "as_of_ms", "source_offset", "fingerprint"}


@settings(max_examples=150, deadline=None)
@given(st.lists(receipts, min_size=1, max_size=25), st.data())
def test_sales_rows_equal_the_oracle_whatever_the_order_the_batches_and_the_crashes(
    events: list[Any], data: st.DataObject
) -> None:
    machines, logs = sales_machines(unique(events), ANY_LATENESS)
    for number, machine in machines.items():
        run(machine, logs[number], data, check_moments)
        assert not machine.late
        wanted = {(m["store_id"], x["product_id"]) for m in map(_json, logs[number]) for x in m["lines"]}
        assert set(machine.online) == wanted
        check_rows(machine, logs[number])


@settings(max_examples=100, deadline=None)
@given(st.lists(receipts, min_size=1, max_size=25), st.data())
def test_parts_and_batches_under_way_change_nothing_however_rows_and_states_overtake_each_other(
    events: list[Any], data: st.DataObject
) -> None:
    """Batches are taken while parts of earlier ones wait for their rows or their states to be written, each in its own line; a
    crash takes all that is not written with it; and where nothing is under way, states in memory are let go of."""
    machines, logs = sales_machines(unique(events), ANY_LATENESS)
    for number, machine in machines.items():
        rows: list[Changes] = []
        states: list[tuple[Changes, int]] = []  # with the offset that may be acknowledged once rows are written too
        taken = 0
        while machine.committed < len(logs[number]):
            steps = ["take"] * (taken < len(logs[number]) and len(states) < 4) + ["rows"] * bool(rows) + ["states"] * bool(states)
            step = data.draw(st.sampled_from([*steps, "crash"] if rows or states else steps), label="step")
            if step == "take":
                if not rows and not states:
                    machine.partition.forget()
                end = taken + data.draw(st.integers(1, len(logs[number]) - taken), label="batch")
                work = machine.partition.take(machine.partition.decode(logs[number][taken:end]), NOON)
                for (part, sums), reached in zip(halves(work), (taken, end), strict=True):
                    changes = machine.changes(part, sums)
                    rows.append(changes)
                    states.append((changes, reached))
                taken = end
            elif step == "rows":
                machine.write_rows(rows.pop(0))
            elif step == "states":
                machine.write_states(states.pop(0)[0])
            else:
                rows, states = [], []
                machine.restart()
                taken = machine.committed
            if step != "take" and not rows and not states:
                machine.committed = taken
        check_rows(machine, logs[number])


@settings(max_examples=100, deadline=None)
@given(st.lists(receipts, min_size=1, max_size=15), st.integers(0, 40 * DAY), st.data())
def test_rows_that_time_alone_changes_equal_the_oracle(events: list[Any], later: int, data: st.DataObject) -> None:
    machines, logs = sales_machines(unique(events), ANY_LATENESS)
    for number, machine in machines.items():
        run(machine, logs[number], data, check_moments)
        machine.tick(NOON + later + 60_000, "none")  # nothing old was seen for a while, so this is the clock's time
        check_rows(machine, logs[number])
        for row in machine.online.values():  # and a row that should have changed has: nothing left any window since
            now = sales_rolling(
                map(_json, logs[number]),
                row["store_id"],
                row["product_id"],
                NOON + later + 60_000,
                CALENDARS.zone(row["store_id"]),
            )
            assert {name: row[name] for name in now} == now
        for key, row in machine.sums.items():
            now = summed(list(map(_json, logs[number])), key, NOON + later + 60_000)
            assert {name: row[name] for name in now} == now


@settings(max_examples=100, deadline=None)
@given(st.lists(receipts, min_size=1, max_size=20), st.data())
def test_what_is_too_late_is_left_out_and_set_aside_and_nothing_else_is(events: list[Any], data: st.DataObject) -> None:
    one_product = [receipt(e.event_id, e.event_time, of_bread(e), store_id=e.store_id) for e in unique(events)]
    machines, logs = sales_machines(one_product, DAY)
    for number, machine in machines.items():
        run(machine, logs[number], data, check_moments)
        for message in logs[number]:
            event = _json(message)
            if message.offset in machine.late:
                newest = max(row["as_of_ms"] for key, row in machine.online.items() if key[0] == event["store_id"])
                assert event["event_time"] < newest - DAY
        check_rows(machine, logs[number])


@settings(max_examples=100, deadline=None)
@given(st.lists(receipts, min_size=2, max_size=20), st.integers(0, 20), st.data())
def test_a_state_made_anew_from_the_archive_holds_the_late_events_too(events: list[Any], cut: int, data: st.DataObject) -> None:
    """Rebuilt from what was read until then, in any order, taken over through crashes; and what comes after it counts as ever."""
    events = [receipt(e.event_id, e.event_time, of_bread(e), store_id="s-2") for e in unique(events)]
    machines, logs = sales_machines(events, DAY)
    ((number, machine),), key = machines.items(), ("s-2", "p-1")
    log, rebuilder = logs[number], Rebuilder(Settings(time_zone="UTC", store_time_zones={"s-2": "Africa/Cairo"}), SALES_ROLLING)
    archived, later = log[:cut], log[cut:]
    if archived:
        run(machine, archived, data, check_moments)
    shuffled = data.draw(st.permutations(archived), label="order in the archive")
    parts = [part for m in shuffled for _, part in rebuilder.kernel.split(decode_receipt(m.value))]
    raw = rebuilder.state(key, parts, len(archived))
    message = Incoming("sales.rebuilt", number, 0, NOON, b"s-2", raw, tuple(headers(key, "now")))

    assert machine.take_over(message, data.draw(CRASHES, label="crash while taking over")) == "healed"

    machine.late = {offset for offset in machine.late if offset >= len(archived)}
    if archived:
        check_rows(machine, log[: len(archived)])
    if later:
        run(machine, log, data, check_moments)
        check_rows(machine, log)
        assert machine.take_over(message, "none") == "healed", "it was taken over before, so that nothing is taken back"
        check_rows(machine, log)


def _json(message: Incoming) -> Any:
    return json.loads(message.value or b"")
