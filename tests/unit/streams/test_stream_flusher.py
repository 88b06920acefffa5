"""The flusher without Kafka: the order of what it writes, what a failure takes with it, and what a rebalance takes away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, get_args

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from contracts.errors import DependencyUnavailable
from contracts.features import SALES_ROLLING
from contracts.settings import Settings
from featurestore.keys import Row
from streams.flusher import Flusher
from streams.kernels import kernels
from streams.key_table import store_key
from streams.metrics import Metrics
from streams.patience import GivenUp, Outage, Outages, Server
from streams.processor import Incoming
from tests.builders import DAY, HOUR, NOON, incoming, line, receipt
from tests.fakes import FakeOnlineStore

HERE = incoming(receipt()).partition


class LostPartition:
    """A consumer from which a partition has been taken, before Faust has said so to anybody."""

    def __init__(self, end: int | None) -> None:
        self._thread, self._end = self, end

    def highwater(self, _: Any) -> int:
        assert self._end is not None, "Partition is not assigned"  # as aiokafka has it
        return self._end

    async def position(self, _: Any) -> int:
        raise IllegalStateError("Partition is not assigned")


class ReadToTheEnd:
    """A consumer that has fetched all there is."""

    def __init__(self) -> None:
        self._thread, self.unacked = self, list[Any]()

    def highwater(self, _: Any) -> int:
        return 5

    async def position(self, _: Any) -> int:
        return 5


class Gate(FakeOnlineStore):
    """An online store that lets writes through one by one, and says in which order they came; a write may fail for good."""

    def __init__(self) -> None:
        super().__init__()
        self.came: list[list[str]] = []
        self.fails_at: int | None = None
        self.opened = threading.Event()
        self.opened.set()

    def write(self, view: str, rows: Any) -> None:
        if view == SALES_ROLLING.name:
            self.came.append([row["product_id"] for row in rows])
        assert self.opened.wait(10)
        if self.fails_at == len(self.came) - 1:
            raise ValueError("it can never be")
        super().write(view, rows)


class States:
    """The stored states of one partition."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}

    def get(self, _: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self.stored.get(key) for key in keys]

    def items(self, _: int) -> list[tuple[bytes, bytes]]:
        return list(self.stored.items())

    async def put(self, states: Mapping[int, Mapping[bytes, bytes]]) -> None:
        await asyncio.sleep(0)
        self.stored.update(states.get(HERE, {}))


def flusher(online: FakeOnlineStore, states: States, consumer: Any = None) -> Flusher:
    table = SimpleNamespace(data=SimpleNamespace(offset_key=b"", _db_for_partition=lambda _: {}))
    app: Any = SimpleNamespace(Table=lambda *_, **__: table, consumer=consumer, consumer_generation_id=2)
    metrics = Metrics()
    outages: Outages = {server: Outage(server, metrics.waited) for server in get_args(Server)}
    made = Flusher(app, Settings(), kernels(Settings())[0], online, outages, metrics, lambda: NOON)
    made._states = made._pipeline._states = states  # type: ignore[assignment]  # the table itself needs RocksDB and Kafka
    return made


def sales(first: int, count: int, products: int) -> list[Incoming]:
    """Receipts of one product each, over so many products in turn."""
    return [incoming(receipt(f"r-{n}", NOON + n, line(f"p-{n % products}")), n) for n in range(first, first + count)]


async def batch_of(made: Flusher, messages: list[Incoming]) -> None:
    """Takes a batch, and waits until it may be acknowledged."""
    await (await made.begin(await made.decode([polled(messages)])))


def polled(messages: list[Incoming]) -> Any:
    """The same messages of one partition as a poll brings them."""
    records = [SimpleNamespace(**message._asdict(), timestamp=message.kafka_time) for message in messages]
    return SimpleNamespace(topic=messages[0].topic, partition=messages[0].partition, records=records)


async def restored() -> tuple[Flusher, Gate, States]:
    """A flusher that has its partition, and what it writes to."""
    online, states = Gate(), States()
    made = flusher(online, states)
    await made.restore({HERE: 0})
    return made, online, states


async def until(condition: Callable[[], object]) -> None:
    """Lets others run until something holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


def online_row(online: FakeOnlineStore, product: str) -> Row:
    return online.rows["sales_rolling"]["s-1", product]


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.flusher.PART_KEYS", 2)


@pytest.mark.parametrize("end", [None, 7])
def test_a_tick_outlives_a_partition_that_is_taken_away_meanwhile(end: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tick() -> None:
        monkeypatch.setattr("streams.flusher.IDLE_SECONDS", 0.0)  # asked at once, not only after some quiet
        online = FakeOnlineStore()
        made = flusher(online, States(), LostPartition(end))
        await made.restore({0: 0})
        await made.tick()
        assert online.rows == {}

    asyncio.run(tick())


def test_time_stands_still_while_what_was_fetched_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.flusher.IDLE_SECONDS", 0.0)

    async def go() -> None:
        online, consumer = Gate(), ReadToTheEnd()
        made = flusher(online, States(), consumer)
        await made.restore({HERE: 0})
        await batch_of(made, [incoming(receipt("r-1", NOON - 3 * HOUR, line("p-0")), 0)])
        tp = TP(made.source, HERE)
        consumer.unacked = [SimpleNamespace(tp=tp, generation_id=1), SimpleNamespace(tp=tp, generation_id=2)]
        await made.tick()
        assert online_row(online, "p-0")["units_1h"] == 1
        consumer.unacked.pop()  # that of an earlier assignment comes again
        await made.tick()
        assert online_row(online, "p-0")["units_1h"] == 0

    asyncio.run(go())


def test_all_that_a_batch_touched_is_written_before_it_may_be_acknowledged() -> None:
    async def batch() -> None:
        made, online, states = await restored()
        await batch_of(made, sales(0, 10, products=5))
        assert {key[1]: row["units_1h"] for key, row in online.rows["sales_rolling"].items()} == {f"p-{n}": 2 for n in range(5)}
        assert set(states.stored) == {store_key(("s-1", f"p-{n}")) for n in range(5)}
        assert [len(part) for part in online.came] == [2, 2, 1]

    asyncio.run(batch())


def test_the_next_batch_is_taken_while_one_is_written_and_its_rows_come_after() -> None:
    async def batches() -> None:
        made, online, _ = await restored()
        online.opened.clear()
        first = asyncio.create_task(batch_of(made, sales(0, 4, products=2)))
        second = asyncio.create_task(batch_of(made, sales(4, 4, products=2)))
        await until(lambda: made.keys == 2 and len(made._pipeline._under_way) == 2)
        assert not first.done()
        online.opened.set()
        await asyncio.gather(first, second)
        assert online_row(online, "p-0")["units_1h"] == 4
        assert online.came == [["p-0", "p-1"]] * 2

    asyncio.run(batches())


def test_a_row_does_not_go_back_where_a_later_part_was_written_before_the_server_went_away() -> None:
    class Lost(Gate):
        """Writes what it is given, and goes away at the third part: nobody hears that the first ones were written."""

        def __init__(self) -> None:
            super().__init__()
            self.offsets: list[int] = []  # of one product's row, as they came

        def write(self, view: str, rows: Any) -> None:
            super().write(view, rows)
            self.offsets += [row["source_offset"] for row in rows if row.get("product_id") == "p-0"]

        def write_each(self, parts: Iterable[Mapping[str, Any]]) -> Iterator[None]:
            if len(self.offsets) > 2:
                yield from super().write_each(parts)
                return
            for _ in zip(super().write_each(parts), range(3), strict=False):
                pass
            raise DependencyUnavailable("away")

    async def batches() -> None:
        online, states = Lost(), States()
        made = flusher(online, states)
        await made.restore({HERE: 0})
        online.opened.clear()
        written = [asyncio.create_task(batch_of(made, sales(2 * n, 2, products=2))) for n in range(4)]
        await until(lambda: len(made._pipeline._under_way) >= 4)
        online.opened.set()
        await asyncio.gather(*written)
        assert online.offsets == sorted(online.offsets)
        assert online_row(online, "p-0")["units_1h"] == 4

    asyncio.run(batches())


def test_no_state_is_stored_before_the_letters_of_its_batch_are_acknowledged() -> None:
    """A worker that died in between would read the late message again, find it behind the state's fence, and send no letter."""

    async def batch() -> None:
        made, _, states = await restored()
        sent = asyncio.Event()

        async def send(*_: Any) -> Awaitable[object]:
            return sent.wait()

        made._pipeline._app.producer = SimpleNamespace(send=send)  # type: ignore[misc]  # no app at all
        messages = [
            incoming(receipt("r-0", NOON, line("p-0")), 0),
            incoming(receipt("r-1", NOON - 2 * DAY, line("p-0")), 1),
            incoming(receipt("r-2", NOON + 1, line("p-0")), 2),
        ]
        writing = asyncio.create_task(batch_of(made, messages))
        for _ in range(50):
            await asyncio.sleep(0)
        assert states.stored == {}
        sent.set()
        await writing
        assert len(states.stored) == 1

    asyncio.run(batch())


def test_a_batch_with_nothing_to_write_ends_after_those_before_it() -> None:
    """Acknowledged before them it would have Faust commit them too."""

    async def batches() -> None:
        made, online, _ = await restored()
        await batch_of(made, sales(0, 2, products=2))
        online.opened.clear()
        first = asyncio.create_task(batch_of(made, sales(2, 2, products=2)))
        await until(lambda: len(online.came) == 2)
        again = [incoming(receipt("r-0", NOON, line("p-0")), 4)]  # a repetition: nothing follows from it
        second = asyncio.create_task(batch_of(made, again))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not second.done()
        online.opened.set()
        await asyncio.gather(first, second)

    asyncio.run(batches())


def test_what_cannot_be_written_takes_all_behind_it_with_it() -> None:
    """States in memory are ahead of what is stored then: nothing of them may be written until they are restored."""

    async def batches() -> None:
        made, online, _ = await restored()
        online.fails_at = 1
        online.opened.clear()
        first = asyncio.create_task(batch_of(made, sales(0, 20, products=20)))
        second = asyncio.create_task(batch_of(made, sales(20, 20, products=20)))
        await until(lambda: online.came)
        online.opened.set()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)
        assert isinstance(outcomes[0], ValueError)
        assert isinstance(outcomes[1], GivenUp)
        assert made.assigned == []
        assert len(online.came) == 2, "no row is written behind the one that failed"
        with pytest.raises(GivenUp):
            await batch_of(made, sales(40, 1, products=20))

        online.fails_at = None
        await made.restore({HERE: 0})
        await batch_of(made, sales(0, 40, products=20))  # none of them was acknowledged: read again
        assert {row["units_1h"] for row in online.rows["sales_rolling"].values()} == {2}

    asyncio.run(batches())


def test_a_batch_that_is_cancelled_leaves_nothing_half_taken() -> None:
    async def cancelled() -> None:
        made, online, _ = await restored()
        online.opened.clear()
        batch = asyncio.create_task(batch_of(made, sales(0, 40, products=40)))
        await until(lambda: online.came)
        batch.cancel()
        await asyncio.wait([batch])
        assert made.assigned == []
        online.opened.set()
        await made.restore({HERE: 0})
        await batch_of(made, sales(0, 40, products=40))
        assert {row["units_1h"] for row in online.rows["sales_rolling"].values()} == {1}

    asyncio.run(cancelled())


def test_states_in_memory_are_let_go_of_only_once_they_are_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    async def batches() -> None:
        monkeypatch.setattr("streams.state_cache.MOST_BYTES", 0)
        made, online, _ = await restored()
        await asyncio.gather(*[batch_of(made, sales(10 * n, 10, products=5)) for n in range(6)])
        assert {row["units_1h"] for row in online.rows["sales_rolling"].values()} == {12}

    asyncio.run(batches())


def test_what_went_wrong_is_told_and_not_what_was_given_up_because_of_it() -> None:
    """Who only gives up is read again by somebody; a disk that is full ends the worker."""

    async def batch() -> None:
        made, online, states = await restored()
        online.opened.clear()

        async def full(_: object) -> None:
            if online.came:
                raise RuntimeError("disk full")

        states.put = full  # type: ignore[method-assign]  # the disk of the second part
        writing = asyncio.create_task(batch_of(made, sales(0, 10, products=10)))
        await until(lambda: made._pipeline._failed)
        online.opened.set()
        with pytest.raises(RuntimeError, match="disk full"):
            await writing

    asyncio.run(batch())


def test_a_batch_whose_partition_is_taken_away_while_it_is_taken_gives_up() -> None:
    async def batch() -> None:
        made, _, states = await restored()
        loop, take = asyncio.get_running_loop(), made._works

        def taken_away(*arguments: Any) -> Any:
            asyncio.run_coroutine_threadsafe(fail(), loop).result(10)
            return take(*arguments)

        async def fail() -> None:
            with pytest.raises(RuntimeError, match="before it"), made._pipeline.or_fail():
                raise RuntimeError("the batch before it")

        made._works = taken_away  # type: ignore[method-assign]  # an earlier write fails in the middle
        with pytest.raises(GivenUp):
            await batch_of(made, sales(0, 4, products=2))
        assert (made.assigned, states.stored) == ([], {})

    asyncio.run(batch())


def test_a_batch_that_was_decoded_before_its_partition_went_and_came_back_is_given_up() -> None:
    async def go() -> None:
        made, online, _ = await restored()
        decoded = await made.decode([polled(sales(0, 4, 2))])
        await made.leave()
        with pytest.raises(GivenUp):
            await made.begin(decoded)
        with pytest.raises(GivenUp):
            await made.decode([polled(sales(0, 4, 2))])
        await made.restore({HERE: 0})
        with pytest.raises(GivenUp):
            await made.begin(decoded)
        assert online.rows == {}
        online.opened.set()
        await batch_of(made, sales(0, 4, 2))
        assert online_row(online, "p-0")["units_1h"] == 2

    asyncio.run(go())
