"""What a drill plans to send, and how it judges what was set aside as late."""

from __future__ import annotations

import datetime as dt
import itertools
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import InvalidEvent, UsageError
from contracts.events import ForecastServed, InventoryEvent, PriceEvent, encode
from contracts.settings import Settings
from contracts.topics import PRICES, SALES
from streams.producers.replay import ReplayReport, replay
from tests.builders import DAY, HOUR, NOON, PARTITIONS, line, price, receipt
from tests.drills.arrival import Arrival, Faults, Sent, arrivals, keys_of, placed
from tests.drills.kill_plan import ALL_PLACES, QUICK_PLACES, RANDOM, schedule
from tests.drills.lake_messages import shares
from tests.drills.lateness import account
from tests.drills.sources import first_lines
from tests.lake_world import ACCEPTED

EVENTS = [(SALES, receipt(f"r-{n}", NOON + n * HOUR, store_id=f"s-{n % 3}")) for n in range(400)]
FAULTS = Faults(DAY, duplicates=0.1, late=0.05, lateness_ms=DAY)


def planned(faults: Faults = FAULTS, seed: int = 1) -> list[Arrival]:
    return arrivals(EVENTS, faults, random.Random(seed))


def test_the_same_seed_plans_the_same() -> None:
    assert planned() == planned()
    assert planned() != planned(seed=2)


def test_each_event_arrives_and_some_twice_or_late() -> None:
    kinds = {kind: [one for one in planned() if one.kind == kind] for kind in ("event", "duplicate", "late")}
    assert len(kinds["event"]) + len(kinds["late"]) == len(EVENTS)
    assert 20 <= len(kinds["duplicate"]) <= 60
    assert 8 <= len(kinds["late"]) <= 40


def test_nothing_is_late_by_being_shuffled() -> None:
    latest = 0
    for one in planned():
        latest = max(latest, one.event.event_time)
        if one.kind != "late":
            assert one.event.event_time > latest - DAY


def test_a_late_one_is_planned_behind_all_that_is_allowed() -> None:
    assert all(one.at - one.event.event_time > DAY for one in planned() if one.kind == "late")


def test_the_duplicate_is_the_second_of_two() -> None:
    seen: set[str] = set()
    for one in planned():
        assert (one.event.event_id in seen) == (one.kind == "duplicate")
        seen.add(one.event.event_id)


def test_without_a_shuffle_the_order_is_that_of_the_events() -> None:
    assert [(one.topic, one.event) for one in planned(Faults(0, 0.0, 0.0, DAY))] == EVENTS


def test_a_shuffle_beyond_the_allowed_lateness_is_refused() -> None:
    with pytest.raises(UsageError):
        Faults(DAY + 1, 0.0, 0.0, DAY)


def test_offsets_count_each_partition_of_each_topic() -> None:
    events = [*EVENTS[:40], *((PRICES, price(f"a-{n}", product_id=f"p-{n}")) for n in range(40))]
    sent = list(placed(arrivals(events, Faults(0, 0.0, 0.0, DAY), random.Random(1)), PARTITIONS))
    offsets: dict[Any, list[int]] = {}
    for one in sent:
        offsets.setdefault((one.topic.kind, one.partition), []).append(one.offset)
    assert sum(map(len, offsets.values())) == 80
    assert all(found == list(range(len(found))) for found in offsets.values())


def test_so_many_lines_are_taken() -> None:
    two = [(SALES, receipt(f"r-{n}", NOON, line("a"), line("b"))) for n in range(9)]
    assert len(list(first_lines(two, 5))) == 3
    assert len(list(first_lines(two, None))) == 9


def messages(*events: Any) -> list[Sent]:
    """Messages in the order given, the last one planned to be late."""
    kinds = ["event"] * (len(events) - 1) + ["late"]
    numbered = zip(events, kinds, itertools.count(), strict=False)
    return list(placed([Arrival(at, SALES, event, kind) for event, kind, at in numbered], 1))  # type: ignore[arg-type]


OLD = receipt("r-0", NOON, line("fig"), line("nut"))
FIG_LATER = receipt("r-1", NOON + DAY + 1, line("fig"))
NUT_LATER = receipt("r-1", NOON + DAY + 1, line("nut"))


def test_a_key_that_has_moved_on_must_set_aside() -> None:
    sent = messages(FIG_LATER, OLD)
    assert account(sent, {"sales": {(0, 1, "s-1", "fig")}}, DAY).wrongly_taken == 0
    assert account(sent, {}, DAY).wrongly_taken == 1


def test_a_key_that_heard_nothing_may_do_either() -> None:
    sent = messages(FIG_LATER, OLD)
    both = account(sent, {"sales": {(0, 1, "s-1", "fig"), (0, 1, "s-1", "nut")}}, DAY)
    assert (both.wrongly_taken, both.wrongly_set_aside) == (0, 0)
    assert (both.planned, both.set_aside, both.all_taken, both.keys_set_aside) == (1, 1, 0, 2)


def test_nothing_is_set_aside_where_the_partition_is_not_that_far() -> None:
    on_time = receipt("r-2", NOON + 1, line("fig"))
    assert account(messages(NUT_LATER, on_time), {"sales": {(0, 1, "s-1", "fig")}}, DAY).wrongly_set_aside == 1


def test_keys_of_a_receipt_are_its_products_once_each() -> None:
    assert keys_of(receipt("r", NOON, line("a"), line("a"), line("b"))) == {("s-1", "a"), ("s-1", "b")}


def test_kills_are_as_many_as_asked_for_and_meet_every_place() -> None:
    plan = schedule(200, ALL_PLACES, random.Random(1))
    assert len(plan) == 200
    assert {kill.place for kill in plan} == {*ALL_PLACES, RANDOM}
    assert plan == schedule(200, ALL_PLACES, random.Random(1))


def test_few_kills_still_meet_every_place() -> None:
    assert sorted(kill.place for kill in schedule(3, ALL_PLACES, random.Random(1))) == sorted(ALL_PLACES)


def test_every_planned_place_is_one_at_which_a_worker_can_end() -> None:
    from tests.drills.crash_points import PLACES  # it imports Faust and Feast

    assert set(PLACES) == set(ALL_PLACES)
    assert set(QUICK_PLACES) <= set(ALL_PLACES)


def test_the_lake_gets_every_message_once_and_in_order_and_malformed_ones_in_every_share() -> None:
    sent = list(placed(planned(), PARTITIONS))
    pieces = shares(Settings(topic_partitions=PARTITIONS), sent, 7)
    assert len(pieces) == 7
    ours = [[message for message in piece if message.fate in ("event", "duplicate", "late")] for piece in pieces]
    assert [message.value for piece in ours for message in piece] == [one.value for one in sent]
    assert max(map(len, ours)) - min(map(len, ours)) <= 1
    for piece in pieces:
        assert {"empty", "not_json", "contract", "misrouted"} <= {message.fate for message in piece}
        taken = [message.event for message in piece if message.fate == ACCEPTED]
        assert {ForecastServed, InventoryEvent, PriceEvent} <= {type(event) for event in taken}  # of receipts alone, every table


def test_the_archive_sends_every_row_of_its_source_those_that_can_be_on_no_receipt_too(tmp_path: Path) -> None:
    from tests.drills.archive import impossible, lines_in  # it imports Spark

    sold = dt.datetime.fromtimestamp(NOON / 1000, dt.UTC)
    prices = {"r-0": (2, 150), "r-1": (0, 150), "r-2": (1, -1_106_206), "r-3": (-3, 0)}
    rows = [
        {"event_id": name, "event_time": sold, "store_id": "s-1", "product_id": "B", "quantity": quantity}
        | {"unit_price_cents": price, "channel": "online"}
        for name, (quantity, price) in prices.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "lines.parquet")
    possible = list(replay(tmp_path, ReplayReport()))
    others = impossible(tmp_path)

    assert sorted(one.event_id for one in others) == ["r-1", "r-2"]
    assert {(one.event_time, one.lines[0].product_id) for one in others} == {(NOON, "B")}
    assert lines_in(tmp_path) == sum(len(one.lines) for one in (*possible, *others)) == len(rows)
    for one in others:
        with pytest.raises(InvalidEvent):
            SALES.decode(encode(one))


def test_a_server_that_goes_away_when_no_job_is_at_work_proves_nothing() -> None:
    from tests.drills.lake_kill import LakeKillPlan, bars  # they import Spark
    from tests.drills.replay import Replay

    def names(away_seconds: float) -> set[str]:
        plan = LakeKillPlan(Replay(data=None, lines=1, seed=7, sample=0), 1, ("silver",), away_seconds, whole=False)
        return {bar.figure for bar in bars(plan, 2) if not bar.holds({"servers_away": 2, "servers_away_at_work": 1})}

    assert "servers_away_at_work" in names(60.0) - names(0.0)
