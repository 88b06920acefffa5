"""What a worker leaves behind that is killed, or loses a server: on real ones, nothing lost and nothing counted twice."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer

from contracts.clock import system_clock
from contracts.events import InventoryEvent, encode
from contracts.settings import Settings
from contracts.topics import SALES
from contracts.windows import WINDOWS, StoreCalendars
from featurestore.online import OnlineStore
from streams.dead_letters import Wanted, find
from streams.kafka_client import go_back_to_the_first
from streams.lag import drain, lag
from streams.producers.faults import Rates, messages
from streams.producers.publish import Publisher
from streams.producers.retailer import Retailer, draw
from streams.producers.simulate import history
from tests.builders import line, receipt
from tests.oracles.rolling import sales_rolling
from tests.oracles.standing import on_hand
from tests.stream_worker import by_reason, send, worker
from tests.waiting import until

pytestmark = pytest.mark.stack
PATIENCE = 90.0


def rename(event: Any, suffix: str) -> Any:
    """The same event of a store that no other test knows."""
    raw = json.loads(encode(event))
    if raw["store_id"] != "*":
        raw["store_id"] += suffix
    return raw


def test_rows_equal_the_oracles_through_two_kills(fresh: Settings, fresh_online: OnlineStore, tmp_path: Path) -> None:
    """History with repetitions, late events and broken ones; the worker is killed twice while it reads."""
    suffix, now = f"-{uuid.uuid4().hex[:6]}", system_clock()
    calendars = StoreCalendars(fresh.time_zone)
    start = calendars.of("").day_start(calendars.of("").day(now) - 40)
    stream = messages(
        history(Retailer.create(11, 3, 8), calendars, start, now), Rates(duplicates=0.05, late=0.05, malformed=0.01), draw("t")
    )
    sent: dict[str, list[Any]] = {"sales": [], "inventory": [], "prices": []}
    broken = 0
    raw: list[tuple[Any, bytes | None, bytes | None]] = []
    for message in stream:
        if message.kind == "malformed":
            broken += 1
            raw.append((message.topic, message.key, message.value))
            continue
        event = rename(message.event, suffix)
        sent[message.topic.kind].append(event)
        raw.append((message.topic, str(event[message.topic.key_field]).encode(), json.dumps(event).encode()))
    half = len(raw) // 2
    with worker(fresh, tmp_path / "worker.log") as one:
        for part, pause in ((raw[:half], True), (raw[half:], True), ([], False)):
            with Publisher(fresh) as publisher:
                for topic, key, value in part:
                    publisher.send(topic.name(fresh.topic_prefix), key, value)
            one.ready()
            if pause:
                before = committed(fresh)
                until(lambda seen=before: committed(fresh) > seen, "the worker moves")  # type: ignore[misc]
                one.kill()
                one.start()
        drain(fresh, 120, lambda _: None)
        check_sales(fresh_online, sent["sales"], calendars, suffix)
        check_stock(fresh_online, sent["inventory"], calendars)
        assert one.stop() == 0
    found = {(x.source_partition, x.source_offset) for x in find(fresh, Wanted(SALES))}
    assert len(found) == broken, "each broken message, some of them set aside twice"
    assert len({k: v for k, v in by_reason(fresh).items() if v}) >= 3
    assert sum(x.behind for x in lag(fresh)) == 0


def committed(settings: Settings) -> int:
    return sum(x.committed for x in lag(settings))


def check_sales(online: OnlineStore, sent: list[Any], calendars: StoreCalendars, suffix: str) -> None:
    keys = sorted({(e["store_id"], x["product_id"]) for e in sent for x in e["lines"]})
    assert len(keys) >= 20
    for key, row in zip(keys, online.read("sales_rolling", keys), strict=True):
        assert row is not None, key
        expected = sales_rolling(sent, *key, row["as_of_ms"], calendars.zone(key[0]))
        assert {name: row[name] for name in expected} == expected, key
    assert {key for key in online.scan("sales_rolling") if key[0].endswith(suffix)} == set(keys)


def check_stock(online: OnlineStore, sent: list[Any], calendars: StoreCalendars) -> None:
    events = [InventoryEvent(**event) for event in sent]
    keys = sorted({(e.store_id, e.product_id) for e in events})
    for key, row in zip(keys, online.read("stock", keys), strict=True):
        assert row is not None, key
        mine = [e for e in events if (e.store_id, e.product_id) == key]
        expected = on_hand(mine, row["as_of_ms"], calendars.of(key[0]).window_start(WINDOWS["28d"], row["as_of_ms"]))
        assert {name: row[name] for name in expected} == expected, key


def test_a_worker_without_a_server_says_so(fresh: Settings, tmp_path: Path) -> None:
    for variable in ("RD360_REDIS_ADDRESS", "RD360_KAFKA_BOOTSTRAP"):
        with worker(fresh, tmp_path / f"{variable}.log", **{variable: "127.0.0.1:1"}) as one:
            assert one.process is not None
            assert one.process.wait(PATIENCE) == 4
            assert "127.0.0.1:1" in one.log()
            assert "Traceback" not in one.log()


def test_a_partition_that_was_read_and_never_committed_is_read_again(fresh: Settings) -> None:
    """What Faust fetches before its tables are restored it drops, and goes back to what was committed: here to nothing."""
    topic = SALES.name(fresh.topic_prefix)
    send(fresh, SALES, [receipt(f"r-{n}", system_clock(), line("fig"), store_id="s-1") for n in range(5)])

    async def offsets_read_after_going_back() -> list[list[int]]:
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=fresh.kafka, group_id="never", auto_offset_reset="earliest", enable_auto_commit=False
        ) as client:
            thread = SimpleNamespace(seek_to_beginning=client.seek_to_beginning)
            consumer = SimpleNamespace(seek_to_committed=client.seek_to_committed, _thread=thread)
            go_back_to_the_first(SimpleNamespace(consumer=consumer), [topic])
            read = [[(await client.getone()).offset for _ in range(5)]]
            await consumer.seek_to_committed()
            read.append([(await asyncio.wait_for(client.getone(), 20)).offset for _ in range(5)])
            return read

    assert asyncio.run(offsets_read_after_going_back()) == [[0, 1, 2, 3, 4]] * 2
