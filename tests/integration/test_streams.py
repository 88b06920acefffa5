"""The line from Kafka to the online store, on real servers: worker processes are started, killed and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from contracts.clock import system_clock
from contracts.errors import ConfigurationError
from contracts.events import Receipt, encode
from contracts.settings import CHECKOUT, Settings, load_settings
from contracts.topics import INVENTORY, PRICES, SALES
from contracts.windows import StoreCalendars
from featurestore.online import OnlineStore, open_online_store
from streams import letters
from streams.broker import read_to_end
from streams.dead_letters import find, replay
from streams.declare import declare
from streams.lag import drain, lag
from streams.producers.faults import Rates, messages
from streams.producers.publish import Publisher
from streams.producers.retailer import Retailer, draw
from streams.producers.simulate import history
from tests.builders import DAY, HOUR, line, receipt
from tests.oracles.rolling import sales_rolling
from tests.oracles.standing import on_hand

pytestmark = pytest.mark.stack
PATIENCE = 90.0


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true value of a condition. Fails at the deadline."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds:.0f} s"
        time.sleep(0.1)
    return value


class WorkerProcess:
    """`rd360 stream worker` as a process of its own."""

    def __init__(self, settings: Settings, log: Path, **environment: str) -> None:
        self.settings, self._log = settings, log
        self._port = settings.worker_metrics_port + 1
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "RD360_HOME": str(settings.home),
            "RD360_PORT_OFFSET": str(settings.port_offset + 1),  # of its own ports: the stack's worker may be running
            "RD360_KAFKA_BOOTSTRAP": settings.kafka,
            "RD360_REDIS_ADDRESS": settings.redis,
            "RD360_TOPIC_PREFIX": settings.topic_prefix,
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> WorkerProcess:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "infra.cli", "stream", "worker"]
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=CHECKOUT)
        return self

    def ready(self) -> WorkerProcess:
        until(self._is_ready, f"the worker is ready ({self._log.read_text()[-2000:]})")
        return self

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            return 0, b""

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self, seconds: float = 20.0) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def log(self) -> str:
        return self._log.read_text()

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the worker ended: {self.log()[-2000:]}"
        return self.get("/readyz")[0] == 200


@contextlib.contextmanager
def worker(settings: Settings, log: Path, **environment: str) -> Iterator[WorkerProcess]:
    one = WorkerProcess(settings, log, **environment)
    try:
        yield one.start()
    finally:
        if one.process is not None and one.process.poll() is None:
            one.kill()


@pytest.fixture
def fresh(settings: Settings) -> Settings:
    """Topics of this test alone."""
    return apart(settings)


def apart(settings: Settings) -> Settings:
    own: Settings = load_settings(
        **settings.model_dump(exclude={"topic_prefix"}, exclude_unset=True), topic_prefix=f"t{uuid.uuid4().hex[:8]}."
    )
    declare(own)
    return own


@pytest.fixture
def fresh_online(fresh: Settings) -> Iterator[OnlineStore]:
    """The online rows of a worker on fresh topics: a topic prefix has a Feast project of its own."""
    yield from opened(fresh)


def opened(settings: Settings) -> Iterator[OnlineStore]:
    store = open_online_store(settings)
    yield store
    store.close()


def rename(event: Any, suffix: str) -> Any:
    """The same event of a store that no other test knows."""
    raw = json.loads(encode(event))
    if raw["store_id"] != "*":
        raw["store_id"] += suffix
    return raw


def send(settings: Settings, topic: Any, events: list[Any]) -> None:
    with Publisher(settings) as publisher:
        for event in events:
            publisher.publish(topic, event)


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
        check_stock(fresh_online, sent["inventory"], suffix)
        assert one.stop() == 0
    found = {(x.source_partition, x.source_offset) for x in find(fresh, SALES)}
    assert len(found) == broken, "each broken message, some of them set aside twice"
    assert len({k: v for k, v in by_reason(fresh).items() if v}) >= 3
    assert sum(x.behind for x in lag(fresh)) == 0


def committed(settings: Settings) -> int:
    return sum(x.committed for x in lag(settings))


def by_reason(settings: Settings) -> dict[str, int]:
    counts: dict[str, int] = {}
    for letter in find(settings):
        counts[letter.reason] = counts.get(letter.reason, 0) + 1
    return counts


def check_sales(online: OnlineStore, sent: list[Any], calendars: StoreCalendars, suffix: str) -> None:
    keys = sorted({(e["store_id"], x["product_id"]) for e in sent for x in e["lines"]})
    assert len(keys) >= 20
    for key, row in zip(keys, online.read("sales_rolling", keys), strict=True):
        assert row is not None, key
        expected = sales_rolling(sent, *key, row["as_of_ms"], calendars.zone(key[0]))
        assert {name: row[name] for name in expected} == expected, key
    assert {key for key in online.scan("sales_rolling") if key[0].endswith(suffix)} == set(keys)


def check_stock(online: OnlineStore, sent: list[Any], suffix: str) -> None:
    from contracts.events import InventoryEvent

    events = [InventoryEvent(**event) for event in sent]
    keys = sorted({(e.store_id, e.product_id) for e in events})
    for key, row in zip(keys, online.read("stock", keys), strict=True):
        assert row is not None, key
        expected = on_hand(e for e in events if (e.store_id, e.product_id) == key)
        assert {name: row[name] for name in expected} == expected, key


class Gate:
    """A TCP forwarder to a server, which can be shut: what a server that goes away looks like to its clients."""

    def __init__(self, address: str) -> None:
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)


def test_a_worker_that_loses_the_online_store_ends_and_acknowledges_nothing_unwritten(
    fresh: Settings, fresh_online: OnlineStore, tmp_path: Path
) -> None:
    store, gate = f"gone-{uuid.uuid4().hex[:6]}", Gate(fresh.redis)
    with worker(fresh, tmp_path / "worker.log", RD360_REDIS_ADDRESS=gate.address) as one:
        one.ready()
        send(fresh, SALES, [receipt("r-1", system_clock(), line("fig"), store_id=store)])
        drain(fresh, 60, lambda _: None)
        gate.shut()
        send(fresh, SALES, [receipt("r-2", system_clock(), line("fig"), store_id=store)])
        assert one.process is not None
        assert one.process.wait(PATIENCE) == 4
        assert "Dependency unavailable" in one.log()
    assert sum(x.behind for x in lag(fresh)) == 1
    with worker(fresh, tmp_path / "again.log") as one:
        one.ready()
        drain(fresh, 60, lambda _: None)
        assert one.stop() == 0
    assert rows(fresh_online, "sales_rolling", (store, "fig"))[0]["units_1h"] == 2


def test_a_worker_without_a_server_says_so(fresh: Settings, tmp_path: Path) -> None:
    for variable in ("RD360_REDIS_ADDRESS", "RD360_KAFKA_BOOTSTRAP"):
        with worker(fresh, tmp_path / f"{variable}.log", **{variable: "127.0.0.1:1"}) as one:
            assert one.process is not None
            assert one.process.wait(PATIENCE) == 4
            assert "127.0.0.1:1" in one.log()
            assert "Traceback" not in one.log()


@pytest.fixture(scope="module")
def running(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """A worker that several tests share, on topics of its own."""
    with worker(apart(settings), tmp_path_factory.mktemp("worker") / "worker.log") as one:
        yield one.ready()


@pytest.fixture(scope="module")
def online(running: WorkerProcess) -> Iterator[OnlineStore]:
    """The online rows of the shared worker."""
    yield from opened(running.settings)


def rows(online: OnlineStore, view: str, *keys: tuple[str, str]) -> list[Any]:
    return online.read(view, list(keys))


def test_somebody_elses_producer_is_counted(running: WorkerProcess, online: OnlineStore) -> None:
    """Nothing of ours: a plain Kafka client and docs/events.md, one line a receipt."""
    store, now = f"shop-{uuid.uuid4().hex[:6]}", system_clock()
    theirs = Producer({"bootstrap.servers": running.settings.kafka, "partitioner": "murmur2_random"})
    for number in range(5):
        event = {
            "event_id": f"{store}/{number}",
            "event_time": now - number * 1000,
            "store_id": store,
            "channel": "pos",
            "lines": [{"product_id": "apple", "quantity": 2, "unit_price": 45}],
            "till": 7,
        }
        theirs.produce(SALES.name(running.settings.topic_prefix), key=store, value=json.dumps(event))
    assert theirs.flush(30) == 0
    drain(running.settings, 60, lambda _: None)
    (row,) = rows(online, "sales_rolling", (store, "apple"))
    assert (row["units_1h"], row["receipts_1h"], row["sales_24h"], row["last_price"]) == (10, 5, 450, 45)


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
    from contracts.request_features import planned_price
    from tests.builders import price

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
    """Tombstones, bytes that are no text, a message near Kafka's limit, a foreign key, and the marks of transactions."""
    settings, store = running.settings, f"storm-{uuid.uuid4().hex[:6]}"
    topic, now = SALES.name(settings.topic_prefix), system_clock()
    one = encode(receipt("good-0", now, line("fig"), store_id=store))
    before = by_reason(settings)
    with Publisher(settings) as publisher:
        publisher.send(topic, store.encode(), None)
        publisher.send(topic, store.encode(), b"\xff\xfe\x00")
        publisher.send(topic, store.encode(), b" " * 1_000_100 + one)
        publisher.send(topic, b"somebody else", one)
        publisher.send(topic, None, one)
        publisher.send(topic, store.encode(), one, headers=[("trace", b"1")])
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
    assert row["units_1h"] == 4
    after = by_reason(settings)
    fresh_letters = {reason: after[reason] - before.get(reason, 0) for reason in after}
    assert {k: v for k, v in fresh_letters.items() if v} == {"empty": 1, "not_json": 1, "too_large": 1, "misrouted": 2}


def test_a_dead_letter_carries_its_bytes_and_where_it_came_from_and_can_be_sent_again(
    running: WorkerProcess, online: OnlineStore
) -> None:
    settings, store = running.settings, f"again-{uuid.uuid4().hex[:6]}"
    value = encode(receipt("r-1", system_clock(), line("kiwi", quantity=3), store_id=store))
    with Publisher(settings) as publisher:
        publisher.send(SALES.name(settings.topic_prefix), b"wrong key", value, headers=[("trace", b"7")])
    drain(settings, 60, lambda _: None)
    (letter,) = (x for x in find(settings, SALES, "misrouted") if x.value == value)
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


def test_a_receipt_type_of_ours_is_what_the_schema_says(fresh: Settings) -> None:
    import jsonschema

    from streams.schemas import json_schema

    event: Receipt = receipt()
    jsonschema.validate(json.loads(encode(event)), json_schema(SALES))
