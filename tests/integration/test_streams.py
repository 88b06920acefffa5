"""The line from Kafka to the online store, on real servers: what one running worker makes of whatever is on its topics."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from contracts import letters
from contracts.clock import system_clock
from contracts.errors import ConfigurationError
from contracts.events import encode
from contracts.request_features import planned_price
from contracts.settings import Settings
from contracts.topics import INVENTORY, PRICES, SALES, partition_of
from featurestore.online import OnlineStore
from streams.broker import read_to_end
from streams.dead_letters import Wanted, find, replay
from streams.declare import declare
from streams.lag import drain
from streams.producers.publish import Publisher
from tests.builders import DAY, HOUR, line, price, receipt
from tests.stream_worker import WorkerProcess, apart, by_reason, opened, rows, send, worker
from tests.waiting import until

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def running(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that several tests share, on topics of its own."""
    with worker(apart(settings), tmp_path_factory.mktemp("worker") / "worker.log") as one:
        yield one.ready()


@pytest.fixture(scope="module")
def online(running: WorkerProcess) -> Iterator[OnlineStore]:
    """The online rows of the shared worker."""
    with opened(running.settings) as store:
        yield store


def test_time_moves_a_row_with_no_event(running: WorkerProcess, online: OnlineStore) -> None:
    store = f"quiet-{uuid.uuid4().hex[:6]}"
    send(running.settings, SALES, [receipt("r-1", system_clock() - 2 * HOUR, line("pear"), store_id=store)])
    row = until(
        lambda: (found := rows(online, "sales_rolling", (store, "pear"))[0]) and found["units_1h"] == 0 and found,
        "the sale leaves its hour",
    )
    assert row["units_24h"] == 1
    assert system_clock() - row["as_of_ms"] < HOUR


def test_a_price_is_there_before_it_holds(running: WorkerProcess, online: OnlineStore) -> None:
    product, now = f"plum-{uuid.uuid4().hex[:6]}", system_clock()
    base, own = price("a-1", now, 200, product_id=product), price("a-2", now, 150, product_id=product, store_id="s-x")
    send(running.settings, PRICES, [base, own])
    drain(running.settings, 60, lambda _: None)
    mine, chain = rows(online, "price_plan", ("s-x", product), ("*", product))
    planned = planned_price(now // DAY + 3, mine, chain)
    assert planned is not None
    assert planned.price == 150
    elsewhere = planned_price(now // DAY + 3, None, chain)
    assert elsewhere is not None
    assert elsewhere.price == 200


def test_whatever_is_on_the_topic_the_next_event_is_counted(running: WorkerProcess, online: OnlineStore) -> None:
    """Tombstones, bytes that are no text, messages near Kafka's limit and beyond, which count there as they are compressed, a
    foreign key, and the marks of transactions."""
    settings, store = running.settings, f"storm-{uuid.uuid4().hex[:6]}"
    topic, now = SALES.name(settings.topic_prefix), system_clock()
    one = encode(receipt("good-0", now, line("fig"), store_id=store))
    before = by_reason(settings)
    with Publisher(settings) as publisher:
        publisher.send(topic, store.encode(), None)
        publisher.send(topic, store.encode(), b"\xff\xfe\x00", headers=[("", b"\xff"), ("trace", None)])
        publisher.send(topic, store.encode(), b" " * 1_000_100 + one)
        publisher.send(topic, b"somebody else", one)
        publisher.send(topic, None, one)
        publisher.send(topic, store.encode(), one, headers=[("trace", b"1")])
    for number, codec in enumerate(("gzip", "snappy", "lz4", "zstd")):
        compressing = Producer({"bootstrap.servers": settings.kafka, "compression.type": codec, "message.max.bytes": 40_000_000})
        partition = partition_of(store, settings.topic_partitions)
        for size in (2_000_000, 2_500_000, 12_000_000):
            compressing.produce(topic, key=store, value=b" " * size + one, partition=partition)
        event = receipt(f"packed-{number}", now, line("fig"), store_id=store)
        compressing.produce(topic, key=store, value=encode(event), partition=partition)
        assert compressing.flush(30) == 0
    transactional = Producer(
        {"bootstrap.servers": settings.kafka, "partitioner": "murmur2_random", "transactional.id": f"tx-{store}"}
    )
    transactional.init_transactions(30)
    for number in range(3):
        transactional.begin_transaction()
        event = receipt(f"good-{number + 1}", now + number, line("fig"), store_id=store)
        transactional.produce(topic, key=store, value=encode(event))
        transactional.commit_transaction(30)
    drain(settings, 90, lambda _: None)
    (row,) = rows(online, "sales_rolling", (store, "fig"))
    assert row["units_1h"] == 8
    after = by_reason(settings)
    fresh_letters = {reason: after[reason] - before.get(reason, 0) for reason in after}
    assert {k: v for k, v in fresh_letters.items() if v} == {"empty": 1, "not_json": 1, "too_large": 13, "misrouted": 2}


def test_a_dead_letter_carries_its_bytes_and_where_it_came_from_and_can_be_sent_again(
    running: WorkerProcess, online: OnlineStore
) -> None:
    settings, store = running.settings, f"again-{uuid.uuid4().hex[:6]}"
    value = encode(receipt("r-1", system_clock(), line("kiwi", quantity=3), store_id=store))
    with Publisher(settings) as publisher:
        publisher.send(SALES.name(settings.topic_prefix), b"wrong key", value, headers=[("trace", b"7")])
    drain(settings, 60, lambda _: None)
    (letter,) = (x for x in find(settings, Wanted(SALES, "misrouted")) if x.value == value)
    (message,) = read_to_end_at(settings, letter.source_partition, letter.source_offset)
    assert (message.key(), message.value()) == (b"wrong key", value)
    headers = dict(letter.headers)
    assert set(headers) >= {letters.TOPIC, letters.CLASS, letters.MESSAGE, letters.STAGE}
    assert (headers["trace"], headers[letters.TOPIC]) == (b"7", SALES.name(settings.topic_prefix).encode())
    assert rows(online, "sales_rolling", (store, "kiwi")) == [None]
    assert replay(settings, [letter], dry_run=True) == {"sent": 0, "would_send": 1, "still_refused": 0}
    assert replay(settings, [letter, letter]) == {"sent": 2, "would_send": 2, "still_refused": 0}
    drain(settings, 60, lambda _: None)
    assert rows(online, "sales_rolling", (store, "kiwi"))[0]["units_1h"] == 3, "sent twice, counted once"


def read_to_end_at(settings: Settings, partition: int, offset: int) -> list[Any]:
    return [next(read_to_end(settings, SALES.name(settings.topic_prefix), partition, offset))]


def test_what_is_too_late_is_set_aside(running: WorkerProcess) -> None:
    settings, store, now = running.settings, f"late-{uuid.uuid4().hex[:6]}", system_clock()
    events = [receipt("r-1", now, line("fig"), store_id=store), receipt("r-2", now - 2 * DAY, line("fig"), store_id=store)]
    send(settings, SALES, events)
    drain(settings, 60, lambda _: None)
    side = SALES.late(settings.topic_prefix)
    found = [m for n in range(settings.topic_partitions) for m in read_to_end(settings, side, n) if m.key() == store.encode()]
    assert [json.loads(m.value())["event_id"] for m in found] == ["r-2"]
    assert dict(found[0].headers())[letters.LATE_KEYS] == json.dumps([[store, "fig"]]).encode()


def test_health_and_metrics(running: WorkerProcess) -> None:
    assert running.get("/livez")[0] == 200
    status, body = running.get("/readyz")
    assert status == 200
    assert set(json.loads(body)["views"]) == {"sales_rolling", "stock", "price_plan"}
    text = running.get("/metrics")[1].decode()
    assert "rd360_stream_rows_written_total" in text
    assert running.get("/nothing")[0] == 404


def test_topics_are_made_once_and_never_bent(fresh: Settings) -> None:
    assert {topic.action for topic in declare(fresh)} == {"kept"}
    other = fresh.model_copy(update={"topic_partitions": fresh.topic_partitions + 1})
    with pytest.raises(ConfigurationError, match="partitions"):
        declare(other)


def test_a_topic_with_another_clock_is_set_right(fresh: Settings) -> None:
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

    from streams.broker import connect

    name = INVENTORY.name(fresh.topic_prefix)
    entry = ConfigEntry("message.timestamp.type", "CreateTime", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[entry])
    admin = connect(fresh)  # it must outlive its answers
    for future in admin.incremental_alter_configs([resource]).values():
        future.result()
    until(lambda: {topic.name for topic in declare(fresh) if topic.action == "updated"} == {name}, "the change is seen")
    until(lambda: {topic.action for topic in declare(fresh)} == {"kept"}, "it is set right")
