"""The simulated retailer, what goes wrong on the way, files and data sets: the same every time, and counted."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import InvalidEvent, UsageError
from contracts.events import decode_receipt, encode
from contracts.request_features import Plan, planned_price
from contracts.topics import INVENTORY, PRICES, SALES, Delivery, accept, partition_of
from contracts.windows import DAY_MS, StoreCalendars, calendar
from streams.prices import plan_of
from streams.producers.faults import BREAKAGES, Rates, messages
from streams.producers.lines_file import read_lines, write_line
from streams.producers.master_data import products_table, stores_table, write_master_data
from streams.producers.pace import paced
from streams.producers.replay import ReplayReport, replay
from streams.producers.retailer import Retailer, draw
from streams.producers.simulate import Timed, history, live, poisson
from streams.producers.tally import Tally
from tests.builders import DAY, HOUR, NOON, line, receipt

CALENDARS = StoreCalendars("Europe/London")
START = calendar("Europe/London").day_start(20_000)


def lived(days: int = 30, seed: int = 7, start: int = START, stores: int = 2, products: int = 15) -> list[Timed]:
    return list(history(Retailer.create(seed, stores, products), CALENDARS, start, start + days * DAY))


def of(events: list[Timed], topic: Any) -> list[Any]:
    return [timed.event for timed in events if timed.topic is topic]


def test_a_seed_and_a_period_give_the_same_events_to_the_byte() -> None:
    assert [encode(t.event) for t in lived(5)] == [encode(t.event) for t in lived(5)]
    assert [encode(t.event) for t in lived(5)] != [encode(t.event) for t in lived(5, seed=8)]


def test_events_come_in_the_order_of_time_each_id_once() -> None:
    events = lived()
    assert all(a.at <= b.at for a, b in itertools.pairwise(events))
    assert all(timed.at == timed.event.event_time for timed in events)
    ids = Counter((timed.topic.kind, timed.event.event_id) for timed in events)
    assert max(ids.values()) == 1


def test_every_event_keeps_its_contract() -> None:
    for timed in lived(10):
        key: str = getattr(timed.event, timed.topic.key_field)
        delivery = Delivery(key.encode(), partition_of(key, 4), timed.at, 4)
        assert accept(timed.topic, encode(timed.event), delivery, 0) == timed.event


def test_a_later_period_is_the_same_retailer() -> None:
    whole, later = Retailer.create(7, 2, 15), Retailer.create(7, 2, 15)
    day = START // DAY_MS + 40
    for store, product in itertools.product(whole.stores, whole.products):
        price = later.price(store, product, day)
        assert whole.price(store, product, day) == price
        assert whole.demand(store, product, day, price) == later.demand(store, product, day, price)
    opening = lived(1, start=START + 30 * DAY)
    assert len({(e.store_id, e.product_id) for e in of(opening, INVENTORY) if e.event_time == START + 30 * DAY}) == 30


def test_more_stores_leave_the_others_as_they_are() -> None:
    assert Retailer.create(7, 5, 40).stores[:2] == Retailer.create(7, 2, 15).stores
    assert Retailer.create(7, 5, 40).products[:15] == Retailer.create(7, 2, 15).products


def test_customers_pay_the_price_that_was_announced() -> None:
    """Whoever reads the announcements alone knows the price of every line."""
    events = lived()
    retailer = Retailer.create(7, 2, 15)
    plans: dict[tuple[str, str], list[Plan]] = defaultdict(list)
    checked = 0
    for timed in events:
        if timed.topic is PRICES:
            plans[timed.event.store_id, timed.event.product_id].append(plan_of(timed.event))  # type: ignore[union-attr,arg-type]
        elif timed.topic is SALES:
            bought: Any = timed.event
            day = calendar("Europe/London").day(timed.at)
            for item in bought.lines:
                if item.quantity > 0:
                    own, chain = (packed(plans[scope, item.product_id]) for scope in (bought.store_id, "*"))
                    planned = planned_price(day, own, chain)
                    assert planned is not None
                    assert (planned.price, planned.list_price) == (item.unit_price, item.list_price)
                    assert planned.promoted == (item.promotion_id is not None)
                    checked += 1
    assert checked > 2_000
    assert any(len(each) > 1 for each in plans.values())
    assert {scope for scope, _ in plans} > {"*"} or len(retailer.stores) == 1


def packed(plans: list[Plan]) -> dict[str, list[int]]:
    from contracts.request_features import pack_plans

    return pack_plans(plans)


def test_demand_falls_with_the_price_by_each_products_own_elasticity() -> None:
    retailer = Retailer.create(7, 1, 10)
    day = START // DAY_MS + 3
    for product in retailer.products:
        full = retailer.price(retailer.stores[0], product, day)
        half = type(full)(full.price // 2, full.list_price, None)
        ratio = retailer.demand(retailer.stores[0], product, day, half) / retailer.demand(retailer.stores[0], product, day, full)
        assert 1.5 < ratio < 9
    assert len({round(product.elasticity, 2) for product in retailer.products}) > 5


def test_shelves_run_empty_and_are_filled_again() -> None:
    stock = of(lived(60), INVENTORY)
    kinds = Counter(event.kind for event in stock)
    assert kinds["receipt"] > 100
    assert kinds["adjustment"] > 0
    assert sum(event.kind == "count" and event.quantity == 0 for event in stock) > 10
    assert all(event.quantity >= 0 for event in stock if event.kind == "count")


def test_there_are_fast_and_slow_movers_returns_and_both_channels() -> None:
    sales = of(lived(60), SALES)
    units: Counter[str] = Counter()
    for one in sales:
        for item in one.lines:
            units[item.product_id] += max(0, item.quantity)
    assert max(units.values()) > 30 * min(units.values())
    assert {one.channel for one in sales} == {"pos", "online"}
    returns = [item for one in sales for item in one.lines if item.quantity < 0]
    assert 0.005 < len(returns) / sum(len(one.lines) for one in sales) < 0.05
    a_day = len(sales) / 60 / 2
    assert 40 < a_day < 100


def test_live_events_keep_the_pace_and_stop() -> None:
    events = list(live(Retailer.create(7, 2, 10), CALENDARS, NOON, rate=5.0, events=600))
    paced_ones = [timed.at for timed in events if timed.at > NOON]
    assert len(events) - len(paced_ones) > 20, "prices and counts at the start"
    assert max(paced_ones) <= NOON + 120_000
    assert {b - a for a, b in itertools.pairwise(paced_ones)} == {200}
    assert {timed.topic for timed in events} == {SALES, INVENTORY, PRICES}
    assert len({(timed.topic.kind, timed.event.event_id) for timed in events}) == len(events)


def test_every_breakage_is_refused() -> None:
    reasons = set()
    for breakage in BREAKAGES:
        key, value = breakage(receipt("r-1", NOON, line(), line("p-2")))
        partition = partition_of((key or b"").decode(), 4)
        with pytest.raises(InvalidEvent) as refused:
            accept(SALES, value, Delivery(key, partition, NOON, 4), HOUR)
        reasons.add(refused.value.reason)
    assert reasons == {"empty", "not_json", "contract", "zero_quantity", "misrouted", "event_time_ahead"}


def test_faults_are_as_many_as_asked_and_counted() -> None:
    events = lived(20)
    tally = Tally()
    sent = list(messages(events, Rates(duplicates=0.1, late=0.1, malformed=0.05), draw("faults")))
    for message in sent:
        tally.add(message)
    receipts = len(of(events, SALES))
    assert (tally.receipts, tally.inventory, tally.prices) == (receipts, len(of(events, INVENTORY)), len(of(events, PRICES)))
    assert tally.messages == len(sent) == len(events) + tally.duplicate_receipts + tally.malformed
    assert tally.lines == sum(len(one.lines) for one in of(events, SALES))
    for count, rate in ((tally.duplicate_receipts, 0.1), (tally.late, 0.1), (tally.malformed, 0.05)):
        assert 0.6 * rate < count / receipts < 1.4 * rate
    assert tally.dead_letterable == tally.malformed


def test_a_repetition_has_the_same_bytes_and_comes_later() -> None:
    first: dict[str, bytes] = {}
    repeated = 0
    for message in messages(lived(5), Rates(duplicates=0.2), draw("d")):
        if message.kind == "duplicate":
            assert first[message.event.event_id] == message.value
            repeated += 1
        elif message.topic is SALES:
            first[message.event.event_id] = message.value or b""
    assert repeated > 20


def test_a_late_receipt_stays_within_the_allowed_lateness() -> None:
    late = [m for m in messages(lived(5), Rates(late=0.3), draw("l")) if m.kind == "late"]
    assert all(0 < m.at - m.event.event_time < DAY for m in late)


def test_what_is_written_to_a_file_is_read_back_to_the_byte() -> None:
    sent = list(itertools.islice(messages(lived(5), Rates(0.05, 0.05, 0.3), draw("f")), 1_500))
    read = list(read_lines([write_line(m) + b"\n" for m in sent], None))
    assert [(x.topic, x.key, x.value) for x in read] == [(m.topic, m.key, m.value or b"") for m in sent]
    assert {m.kind for m in sent} == {"event", "duplicate", "late", "malformed"}


def test_a_line_that_is_the_event_alone_gets_the_contracts_key() -> None:
    raw = b'{ "store_id":"s-9",  "x": 1.50 }'
    (one,) = read_lines([raw + b"\n", b"\n"], SALES)
    assert (one.key, one.value) == (b"s-9", raw)
    (broken,) = read_lines([b"{nonsense\n"], SALES)
    assert (broken.key, broken.value) == (None, b"{nonsense")


@pytest.mark.parametrize(
    "text", [b"{}", b"7", b'{"topic": "sales"}', b'{"topic": "wages", "event": {}}', b'{"topic": "sales", "raw_base64": "?"}']
)
def test_a_line_that_is_no_message_is_named(text: bytes) -> None:
    with pytest.raises(UsageError):
        list(read_lines([text], None))


def test_master_data_describes_the_simulated_stores_and_products(tmp_path: Path) -> None:
    retailer = Retailer.create(7, 3, 12)
    write_master_data(retailer, StoreCalendars("Europe/London", {"s-02": "America/New_York"}), tmp_path)
    products, stores = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("products", "stores"))
    assert products.equals(products_table(retailer))
    assert products.column_names == ["product_id", "name", "category", "pack_size", "shelf_life_days"]
    assert stores.column("time_zone").to_pylist() == ["Europe/London", "America/New_York", "Europe/London"]
    assert stores_table(retailer, CALENDARS).column_names == stores.column_names
    assert min(stores.column("lead_time_days").to_pylist()) >= 1


def lines_file(folder: Path, rows: list[dict[str, Any]]) -> Path:
    at = dt.datetime(2024, 3, 1, 9, tzinfo=dt.UTC)
    base = {
        "event_id": "a",
        "event_time": at,
        "store_id": "s",
        "product_id": "p",
        "quantity": 1,
        "unit_price_cents": 100,
        "channel": "pos",
    }
    pq.write_table(pa.Table.from_pylist([base | row for row in rows]), folder / "lines.parquet")
    return folder


def test_a_replay_accounts_for_every_row(tmp_path: Path) -> None:
    later = dt.datetime(2024, 3, 1, 10, tzinfo=dt.UTC)
    folder = lines_file(
        tmp_path,
        [
            {"product_id": "p-1", "quantity": 2},
            {"product_id": "p-2", "quantity": 0},
            {"product_id": "p-3", "unit_price_cents": -5},
            {"event_id": "b", "product_id": "", "quantity": 1},
            {"event_id": "c", "channel": "fax"},
            {"event_id": "d", "product_id": "p-4", "quantity": -1},
            {"event_id": "a", "event_time": later},
        ],
    )
    report = ReplayReport()
    receipts = list(replay(folder, report))
    assert [(r.event_id, [x.product_id for x in r.lines]) for r in receipts] == [("a", ["p-1"]), ("d", ["p-4"]), ("a#2", ["p"])]
    assert report.rows == 7 == report.lines + sum(report.rejected_lines.values())
    assert (report.receipts, report.rejected_receipts, report.split_receipts, report.units) == (3, 2, 1, 2)
    assert receipts[0].event_time == int(dt.datetime(2024, 3, 1, 9, tzinfo=dt.UTC).timestamp() * 1000)
    for one in receipts:
        assert decode_receipt(encode(one)) == one


def test_a_line_that_names_no_category_has_that_of_its_product(tmp_path: Path) -> None:
    named = {"product_id": "p-1", "category_id": "own"}
    folder = lines_file(tmp_path, [named, *({"product_id": p, "category_id": None} for p in ("p-1", "p-2", "p-3"))])
    assert [[x.category_id for x in one.lines] for one in replay(folder, ReplayReport())] == [["own", None, None, None]]
    pq.write_table(pa.table({"product_id": ["p-1", "p-2"], "category": ["bread", None]}), folder / "products.parquet")
    assert [[x.category_id for x in one.lines] for one in replay(folder, ReplayReport())] == [["own", "bread", None, None]]


def test_a_replay_of_something_else_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lines\.parquet"):
        list(replay(tmp_path, ReplayReport()))
    pq.write_table(pa.table({"event_id": ["a"]}), tmp_path / "lines.parquet")
    with pytest.raises(UsageError, match="event_time"):
        list(replay(tmp_path, ReplayReport()))


def test_pace_waits_for_each_items_time_and_never_longer() -> None:
    now = [1_000_000]
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += math.ceil(seconds * 1000)

    seen = [(item, now[0]) for item in paced([0, 60_000, 60_500, 180_000], lambda x: x, 60.0, clock=lambda: now[0], sleep=sleep)]
    assert seen == [(0, 1_000_000), (60_000, 1_001_000), (60_500, 1_001_009), (180_000, 1_003_000)]
    assert max(waits) <= 0.5, "an interrupt is heard"
    assert list(paced([0, 10**12], lambda x: x, 0.0, clock=lambda: now[0], sleep=sleep)) == [0, 10**12]


def test_poisson_numbers_have_their_mean() -> None:
    rng = draw("poisson")
    for mean in (0.3, 4.0, 80.0):
        assert sum(poisson(rng, mean) for _ in range(4_000)) / 4_000 == pytest.approx(mean, rel=0.08)


def test_a_name_is_all_that_a_generator_depends_on() -> None:
    assert draw(1, "a").random() == draw(1, "a").random() != draw(1, "b").random()
