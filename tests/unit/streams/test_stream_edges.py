"""The edges to Faust, to the command line and to the health probes, without a server."""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import logging
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.features import VIEWS
from contracts.settings import CHECKOUT, Settings
from infra.cli.__main__ import main
from streams import names
from streams.declare import Wanted, _wait_until_listed, wanted
from streams.health import HealthServer
from streams.kernels import kernels
from streams.metrics import Metrics
from streams.processor import Work
from tests.ports import free_port


def test_the_table_was_written_for_the_faust_that_is_installed() -> None:
    from faust.stores import rocksdb

    from streams.table import WRITTEN_FOR_FAUST

    assert importlib.metadata.version("faust-streaming") == WRITTEN_FOR_FAUST, "read streams/table.py against the new version"
    assert rocksdb.Store.offset_key == b"__faust\0offset__"
    assert callable(rocksdb.Store._db_for_partition)
    assert rocksdb.USE_ROCKSDICT


def test_the_private_parts_of_the_clients_are_there() -> None:
    from aiokafka.consumer.group_coordinator import GroupCoordinator
    from faust.tables.recovery import Recovery
    from faust.transport.consumer import Consumer
    from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

    assert AIOKafkaConsumerThread._consumer is None
    assert AIOKafkaConsumerThread.seek_to_beginning
    order = Recovery.on_recovery_completed.__code__.co_names
    assert order.index("resume_partitions") < order.index("perform_seek") < order.index("resume_flow")
    assert "seek_to_committed" in Consumer.perform_seek.__code__.co_names
    assert {"callback", "wait_first", "_add_gap"} <= {*Consumer._drain_messages.__code__.co_names}
    assert {"scheduler", "_to_message"} <= {*Consumer.getmany.__code__.co_names}
    assert "_new_offset" in Consumer._filter_committable_offsets.__code__.co_names
    assert "coordinator_id" in GroupCoordinator.__init__.__code__.co_names


def test_a_coordinator_is_lost_where_the_client_looks_for_one_and_knows_none() -> None:
    import faust
    from aiokafka import AIOKafkaConsumer
    from aiokafka.consumer.group_coordinator import GroupCoordinator

    from streams.kafka_client import coordinator_lost

    async def look() -> None:
        app = faust.App("lost", broker="aiokafka://")
        assert coordinator_lost(app) is None, "it has no client yet"
        client = app.consumer._thread._consumer = AIOKafkaConsumer(group_id="lost")
        assert coordinator_lost(app) is None, "the client makes its first connection"
        client._coordinator = object.__new__(GroupCoordinator)
        client._coordinator.coordinator_id = None
        assert coordinator_lost(app) is not None
        client._coordinator.coordinator_id = 0
        assert coordinator_lost(app) is None
        client._coordinator = None
        await client.stop()

    asyncio.run(look())


def test_a_message_that_need_not_wait_is_delivered_by_a_plain_call_and_any_other_as_faust_does() -> None:
    from streams.kafka_client import deliver_at_once

    async def go() -> list[object]:
        raced: list[object] = []
        opened = asyncio.Event()

        async def wait_first(*coroutines: Any) -> None:
            tasks = [asyncio.ensure_future(one if isinstance(one, Awaitable) else one.wait()) for one in coroutines]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            raced.extend(task.result() for task in done)
            for task in pending:
                task.cancel()

        async def deliver(what: str, *, wait: bool) -> str:
            if wait:
                await opened.wait()
                await asyncio.sleep(0)
            seen.append(what)
            return what

        async def refuse() -> None:
            raise ValueError("no")

        seen: list[str] = []
        suspended = asyncio.Event()
        consumer = SimpleNamespace(wait_first=wait_first, suspend_flow=suspended)
        deliver_at_once(SimpleNamespace(consumer=consumer))
        await consumer.wait_first(deliver("at once", wait=False), consumer.suspend_flow.wait())
        assert (seen, raced) == (["at once"], [])
        asyncio.get_running_loop().call_later(0.01, opened.set)
        await consumer.wait_first(deliver("later", wait=True), consumer.suspend_flow.wait())
        assert (seen, raced) == (["at once", "later"], ["later"])
        await consumer.wait_first(opened, asyncio.Event())
        opened.clear()
        suspended.set()
        await consumer.wait_first(deliver("given up", wait=True), consumer.suspend_flow.wait())
        assert seen == ["at once", "later"], "what is waited for beside it has come first"
        with pytest.raises(ValueError, match="no"):
            await consumer.wait_first(refuse(), consumer.suspend_flow.wait())
        return raced

    asyncio.run(go())


def test_a_partition_of_which_nothing_was_committed_is_read_from_its_first_message_again() -> None:
    from streams.kafka_client import go_back_to_the_first

    new, begun, at_first, changelog = TP("sales", 0), TP("sales", 1), TP("sales", 2), TP("states", 0)
    committed = {new: None, begun: 7, at_first: 0, changelog: None}
    gone_back: list[TP] = []

    async def seek_to_committed() -> dict[TP, int | None]:
        return committed

    async def seek_to_beginning(*partitions: TP) -> None:
        gone_back.extend(partitions)

    thread = SimpleNamespace(seek_to_beginning=seek_to_beginning)
    consumer = SimpleNamespace(seek_to_committed=seek_to_committed, _thread=thread)
    go_back_to_the_first(SimpleNamespace(consumer=consumer), ["sales"])
    assert asyncio.run(consumer.seek_to_committed()) == committed
    assert gone_back == [new, at_first]


def test_no_partition_is_asked_for_its_position_while_it_goes_back_to_its_first_message() -> None:
    import faust
    from aiokafka.consumer.subscription_state import Assignment

    from streams.kafka_client import never_look_for_standstills

    async def ends_by_looking(app: Any) -> bool:
        tp = TP("sales", 0)
        assignment = Assignment([tp])
        state = assignment.state_value(tp)
        state.timestamp = int(time.time() * 1000)  # something was fetched
        state.await_reset(0)
        subscriptions = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
        thread = app.consumer._thread
        thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=subscriptions))
        thread.time_started = time.monotonic()
        app.consumer.assignment = lambda: {tp}
        try:
            await app.consumer.verify_all_partitions_active()
        except AssertionError:
            return True
        return False

    async def go() -> None:
        as_faust_is, as_ours_is = (faust.App("looks", broker="aiokafka://") for _ in range(2))
        never_look_for_standstills(as_ours_is)
        assert await ends_by_looking(as_faust_is), "Faust holds by itself now: delete never_look_for_standstills"
        assert not await ends_by_looking(as_ours_is)

    asyncio.run(go())


def test_nothing_is_delivered_until_the_committed_offsets_are_sought_after_a_recovery() -> None:
    from streams.kafka_client import seek_before_anything_is_delivered

    seen: list[object] = []

    async def on_recovery_completed(generation_id: int = 0) -> None:
        seen.append(("seeks", generation_id))

    consumer = SimpleNamespace(stop_flow=lambda: seen.append("no fetching"))
    control = SimpleNamespace(suspend=lambda: seen.append("no delivery"))
    recovery = SimpleNamespace(on_recovery_completed=on_recovery_completed)
    app = SimpleNamespace(consumer=consumer, flow_control=control, tables=SimpleNamespace(recovery=recovery))
    seek_before_anything_is_delivered(app)
    asyncio.run(recovery.on_recovery_completed(7))
    assert seen == ["no fetching", "no delivery", ("seeks", 7)]


def test_a_worker_starts_without_what_takes_seconds_to_import() -> None:
    """A worker that was killed is as long away as its start takes."""
    asked = (
        "import sys, streams.worker, featurestore.row_writer, featurestore.fill; print(sys.modules.keys() & {'feast', 'pandas'})"
    )
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert found.stdout.strip() == "set()"


def test_a_client_that_repeats_itself_is_heard_once() -> None:
    from streams.kafka_client import Repeats

    repeats = Repeats()

    def passes(name: str, text: str, *arguments: object) -> bool:
        return repeats.filter(logging.LogRecord(name, logging.ERROR, "", 0, text, arguments, None))

    assert passes("aiokafka.client", "node %s is away", 1)
    assert not passes("aiokafka.client", "node %s is away", 2)
    assert passes("aiokafka.client", "another thing")
    assert passes("rd360.streams", "ours")
    assert passes("rd360.streams", "ours")


def test_every_streaming_view_has_a_kernel_and_a_changelog() -> None:
    settings = Settings(topic_prefix="x.")
    streamed = {view.name for view in VIEWS.values() if view.writer == "stream"}
    views = {view.name for kernel in kernels(settings) for view in (kernel.view, *kernel.sums().views)}
    assert views == streamed
    topics = {topic.name: topic for topic in wanted(settings)}
    for kernel in kernels(settings):
        changelog = topics[names.changelog(settings, kernel.view)]
        assert changelog.partitions == topics[kernel.topic.name("x.")].partitions == settings.topic_partitions
        assert changelog.config["cleanup.policy"] == "compact"


class LateBroker:
    """An admin client whose broker lists a topic only when it is asked for the third time."""

    def __init__(self) -> None:
        self.asked = 0

    def list_topics(self, timeout: float) -> Any:
        self.asked += 1
        return SimpleNamespace(topics={} if self.asked < 3 else {"x.sales": None})

    def poll(self, seconds: float) -> int:
        return 0


def test_a_declared_topic_is_waited_for_until_the_broker_lists_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broker: Any = LateBroker()
    _wait_until_listed(broker, [Wanted("x.sales", 4, {})])
    assert broker.asked == 3
    monkeypatch.setattr("streams.declare.LISTED_SECONDS", -1.0)
    with pytest.raises(DependencyUnavailable, match=r"did not list x\.prices"):
        _wait_until_listed(broker, [Wanted("x.prices", 4, {})])


def test_both_readers_see_the_brokers_clock() -> None:
    sources = {kernel.topic.name() for kernel in kernels(Settings())}
    configs = [topic.config for topic in wanted(Settings()) if topic.name in sources]
    assert len(configs) == 3
    assert {config["message.timestamp.type"] for config in configs} == {"LogAppendTime"}


def test_a_dead_letter_always_fits() -> None:
    topics = {topic.name: topic for topic in wanted(Settings())}
    assert (
        int(topics["sales.dead-letters"].config["max.message.bytes"]) > int(topics["sales"].config["max.message.bytes"]) + 100_000
    )


def test_health_says_what_the_worker_says() -> None:
    port, standing, alive = free_port(), [False], [True]
    with HealthServer(port, lambda: (alive[0], {}), lambda: (standing[0], {"ready": standing[0]}), Metrics().text):
        assert urllib.request.urlopen(f"http://127.0.0.1:{port}/livez").status == 200
        alive[0] = False
        with pytest.raises(urllib.error.HTTPError) as stuck:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/livez")
        assert stuck.value.code == 503
        with pytest.raises(urllib.error.HTTPError) as not_ready:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz")
        assert not_ready.value.code == 503
        standing[0] = True
        assert json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz?x=1")) == {"ready": True}
        with pytest.raises(ConfigurationError, match=str(port)):
            HealthServer(port, lambda: (True, {}), lambda: (True, {}), Metrics().text)


def test_metrics_count_what_was_written() -> None:
    sales, metrics, work = kernels(Settings())[0], Metrics(), Work(0)
    work.counts.update({"events": 5, "duplicates": 1, "dead:contract": 2})
    metrics.flushed(sales.view, sales.topic, [work], Counter({"sales_rolling": 2, "store_rolling": 1}), 0.1)
    text = metrics.text().decode()
    assert 'rd360_stream_events_total{topic="sales"} 5.0' in text
    assert 'rd360_stream_dead_letters_total{reason="contract",topic="sales"} 2.0' in text
    assert 'rd360_stream_rows_written_total{view="sales_rolling"} 2.0' in text
    assert 'rd360_stream_rows_written_total{view="store_rolling"} 1.0' in text


def test_simulate_counts_without_sending(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--days", "3", "--end", "2025-06-15T18:00Z", "--stores", "2", "--products", "5", "--malformed", "0.05"]
    assert main(["produce", "simulate", *options, "--dry-run"]) == 0
    dry = json.loads(capsys.readouterr().out)
    out = tmp_path / "events.jsonl"
    assert main(["produce", "simulate", *options, "--out", str(out), "--master-data", str(tmp_path)]) == 0
    written = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in dry.items() if k != "seconds"} == {k: v for k, v in written.items() if k != "seconds"}
    assert len(out.read_bytes().splitlines()) == dry["messages"]
    assert dry["dead_letterable"] == dry["malformed"] > 0
    assert (tmp_path / "products.parquet").exists()
    assert main(["produce", "file", str(out), "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["messages"] == dry["messages"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["produce", "simulate", "--days", "1", "--end", "tomorrow"], 2, "tomorrow"),
        (["produce", "replay", "/nowhere"], 2, "/nowhere"),
        (["stream", "dlq", "list", "--topic", "wages"], 2, "wages"),
        (["stream", "dlq", "list", "--since", "lately"], 2, "lately"),
        (["stream", "dlq", "replay", "--source", "3"], 2, "3"),
        (["stream", "topics"], 4, "127.0.0.1:1"),
        (["stream", "drain"], 4, "127.0.0.1:1"),
        (["stream", "dlq", "list"], 4, "127.0.0.1:1"),
        (["produce", "simulate", "--minutes", "0.01"], 4, "127.0.0.1:1"),
    ],
)
def test_what_cannot_be_is_said_with_its_exit_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RD360_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setattr("streams.broker.TIMEOUT_SECONDS", 0.5)
    assert main(arguments) == code
    assert said in capsys.readouterr().err
