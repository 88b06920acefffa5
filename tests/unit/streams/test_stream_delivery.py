"""How messages come from Faust's fetcher to its agent's stream, without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.agents.reading import Gathered, source
from streams.kafka_client import PartitionByPartition, deliver_at_once, end, never_note_ends, waiting

FLUSHER: Any = SimpleNamespace(source="t", rebuilt="t.rebuilt")


class Read:
    """A Faust app that reads one topic, without a broker: what its fetcher would hand on, and what its agent's stream gives."""

    def __init__(self) -> None:
        self.app = faust.App("reads", broker="aiokafka://", stream_buffer_maxsize=3, loop=asyncio.get_running_loop())
        self.tp = TP("t", 0)
        self.app.flow_control.resume()
        self.stream = source(self.app, FLUSHER).stream().noack()
        self.app.topics._acking_topics.add("t")
        handler = self.app.topics._build_handler(self.tp, {self.stream.channel})
        self.app.topics._tp_to_callback[self.tp] = handler
        self.by_faust = self.app.consumer.callback
        deliver_at_once(self.app, ["t"])

    @property
    def queue(self) -> Any:
        return self.stream.channel.queue

    def message(self, offset: int, generation: int = 0) -> Any:
        value = b"no JSON"
        return ConsumerMessage("t", 0, offset, 0.0, 0, (), b"k", value, 0, 1, 1, self.tp, generation_id=generation)

    def hand_on(self, *offsets: int) -> None:
        for offset in offsets:
            assert self.app.consumer.callback(self.message(offset)) is None


def test_a_message_goes_into_its_agents_queue_as_faust_puts_it_there() -> None:
    async def go() -> None:
        read = Read()
        read.hand_on(1)
        await read.by_faust(read.message(2))

        ours, fausts = (read.queue.get_nowait() for _ in range(2))
        assert [type(one) for one in (ours, fausts)] == [faust.Event, faust.Event]
        assert (ours.message.offset, ours.key, ours.value, ours.message.refcount) == (1, b"k", b"no JSON", 1)
        assert (fausts.key, fausts.value, fausts.message.refcount) == (ours.key, ours.value, ours.message.refcount)

    asyncio.run(go())


@pytest.mark.parametrize(
    "reason", ["the queue is full", "partitions move", "the flow has stopped", "the agent has stopped", "another topic"]
)
def test_a_message_that_may_have_to_wait_goes_fausts_way(reason: str) -> None:
    async def go() -> None:
        read = Read()
        message = read.message(1)
        if reason == "the queue is full":
            read.hand_on(7, 8, 9)
        elif reason == "partitions move":
            await read.app.topics._tp_to_callback_lock.acquire()
        elif reason == "the agent has stopped":
            read.app.topics._tp_to_callback[read.tp].channels.clear()
        elif reason == "the flow has stopped":
            read.app.flow_control.suspend()
        else:
            message.topic = "another"
        delivery = read.app.consumer.callback(message)
        assert asyncio.iscoroutine(delivery)
        delivery.close()
        assert 1 not in [event.message.offset for event in read.queue._queue]

    asyncio.run(go())


def test_a_message_that_waits_for_room_is_given_up_where_the_flow_is_suspended() -> None:
    """By Faust's own race between the two, as its fetcher runs it."""

    async def go() -> None:
        read = Read()
        consumer = read.app.consumer
        read.hand_on(7, 8, 9)
        race = asyncio.create_task(consumer.wait_first(consumer.callback(read.message(10)), consumer.suspend_flow.wait()))
        async with asyncio.timeout(10):
            while not read.queue._putters:  # it waits for room
                await asyncio.sleep(0)
            consumer.suspend_flow.set()
            await race
        assert [event.message.offset for event in read.queue._queue] == [7, 8, 9]
        assert not consumer._unacked_messages

    asyncio.run(go())


def test_what_waits_behind_an_event_is_taken_as_its_stream_would_have_given_it() -> None:
    async def go() -> None:
        read = Read()
        unacked = read.app.consumer._unacked_messages
        read.hand_on(1, 2, 3)
        events = waiting(read.app, read.stream, 2)
        assert [event.message.offset for event in events] == [1, 2]
        assert sorted(message.offset for message in unacked) == [1, 2]
        assert all(message.tracked for message in unacked)

        read.queue.put_nowait(faust.Event(read.app, b"", b"", None, read.message(4, generation=-7)))
        assert [event.message.offset for event in waiting(read.app, read.stream, 9)] == [3], (
            "one of an earlier assignment is left"
        )
        assert not waiting(read.app, read.stream, 9)
        assert not read.queue.qsize()

        read.hand_on(5)
        read.app.flow_control.suspend()
        assert not waiting(read.app, read.stream, 9), "partitions are about to move"

    asyncio.run(go())


def test_what_was_read_gathers_up_to_a_batch_and_is_taken_in_its_order() -> None:
    async def go() -> None:
        gathered = Gathered(3)
        assert (gathered.room, gathered.has_some.is_set(), gathered.has_room.is_set()) == (3, False, True)
        gathered.add([1])
        gathered.add([2, 3])
        assert (gathered.room, gathered.has_some.is_set(), gathered.has_room.is_set()) == (0, True, False)
        assert gathered.take() == [1, 2, 3]
        assert (gathered.room, gathered.has_some.is_set(), gathered.has_room.is_set()) == (3, False, True)

    asyncio.run(go())


def test_fetched_records_come_partition_by_partition_each_in_its_order() -> None:
    fetched = {TP("t", 1): ["a", "b"], TP("t", 0): [], TP("u", 0): ["c"]}
    assert list(PartitionByPartition().iterate(fetched)) == [(TP("t", 1), "a"), (TP("t", 1), "b"), (TP("u", 0), "c")]


def test_the_end_of_a_partition_is_asked_of_the_client_and_not_with_each_message() -> None:
    async def go() -> None:
        app = Read().app
        app.consumer._thread = SimpleNamespace(highwater={TP("t", 0): 7}.__getitem__)
        assert app.consumer.highwater(TP("t", 0)) == 7
        never_note_ends(app)
        assert app.consumer.highwater(TP("t", 0)) is None
        assert end(app, TP("t", 0)) == 7
        app.monitor.track_tp_end_offset(TP("t", 0), 7)
        assert not app.monitor.tp_end_offsets

    asyncio.run(go())
