"""How messages come from Faust's fetcher to its agent's stream, without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.structs import ConsumerRecord
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.agents.reading import Gathered, source
from streams.kafka_client import deliver_at_once, end, never_note_ends
from streams.polls import Fetched, HandedOn, PartitionByPartition, hand_on_polls

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
        hand_on_polls(self.app, ["t"], [])
        deliver_at_once(self.app)
        self.consumer: Any = self.app.consumer

    @property
    def queue(self) -> Any:
        return self.stream.channel.queue

    def polled(self, *offsets: int) -> Any:
        """What Faust makes of the records of one poll."""
        records = [record("t", offset) for offset in offsets]
        ((tp, found),) = self.consumer.scheduler.iterate({self.tp: records})
        return self.consumer._to_message(tp, found)

    async def handed_on(self, *offsets: int) -> Any:
        message = self.polled(*offsets)
        await self.hand_on(message)
        return message

    async def hand_on(self, message: Any) -> None:
        """As Faust's fetcher does it."""
        async with asyncio.timeout(10):  # it may wait for room
            await self.consumer.wait_first(self.consumer.callback(message), self.consumer.suspend_flow.wait())

    @property
    def queued(self) -> list[int]:
        return [event.message.offset for event in self.queue._queue]


def record(topic: str, offset: int) -> Any:
    return ConsumerRecord(topic, 0, offset, 1_000, 0, b"k", b"no JSON", 1, 1, 1, ())


def test_what_a_poll_brought_of_a_partition_is_one_message() -> None:
    async def go() -> None:
        read = Read()
        await read.hand_on(read.polled(4, 5, 9))
        event = read.queue.get_nowait()
        assert isinstance(event.message, Fetched)
        assert (event.message.topic, event.message.partition, event.message.offset, event.message.refcount) == ("t", 0, 9, 1)
        assert [one.offset for one in event.message.records] == [4, 5, 9]
        assert event.message.generation_id == read.app.consumer_generation_id

    asyncio.run(go())


def test_records_of_other_topics_go_on_one_by_one() -> None:
    async def go() -> None:
        read = Read()
        other, records = TP("u", 1), [record("u", 1), record("u", 2)]
        found = list(read.consumer.scheduler.iterate({read.tp: [], other: records}))
        assert found == [(other, one) for one in records]
        message = read.consumer._to_message(*found[0])
        assert (type(message), message.offset, message.value) == (ConsumerMessage, 1, b"no JSON")
        read.consumer._acked[other] += [4, 5, 7]
        assert read.consumer._new_offset(other) == 6, "Faust looks for gaps"

    asyncio.run(go())


def test_the_offset_after_the_last_poll_that_was_acknowledged_is_committed() -> None:
    """Whatever is between: records of the same poll, marks of a transaction; and where the first poll was of one record."""

    async def go() -> None:
        read = Read()
        assert read.consumer._new_offset(read.tp) is None
        polls = [await read.handed_on(*offsets) for offsets in ([0], [1, 2, 5], [9, 12])]
        for message in polls:
            await read.consumer._add_gap(read.tp, message.offset, message.offset + 2)  # as Faust's fetcher notes one
        for message, expected in zip(polls, (1, 6, 13), strict=True):
            read.consumer.ack(message)
            assert read.consumer._new_offset(read.tp) == expected
            assert read.consumer._new_offset(read.tp) is None, "it was told once"
            read.consumer._committed_offset[read.tp] = expected
        assert not read.consumer._unacked_messages
        assert not read.consumer._gap
        assert not read.consumer._acked_index[read.tp]

    asyncio.run(go())


def test_nothing_is_committed_past_a_poll_that_was_not_acknowledged() -> None:
    """It may have been dropped while partitions moved: it stands in the way until it was read again."""

    async def go() -> None:
        read = Read()
        first, dropped, later = [await read.handed_on(*offsets) for offsets in ([0, 1], [2, 3], [4, 5])]
        for message in (first, later):
            read.consumer.ack(message)
        assert read.consumer._new_offset(read.tp) == 2
        assert read.consumer._new_offset(read.tp) is None
        read.consumer.ack(dropped)
        assert read.consumer._new_offset(read.tp) == 6

    asyncio.run(go())


def test_a_poll_that_ends_before_the_committed_offset_stands_in_no_way() -> None:
    """A batch ended while partitions moved: it was acknowledged, and committed, after the reader was sent back before it."""

    async def go() -> None:
        read = Read()
        late = await read.handed_on(100, 149)
        read.queue.clear()  # as Faust does it
        read.app.consumer_generation_id += 1
        read.consumer._committed_offset[read.tp] = 100
        read.consumer.ack(late)
        assert read.consumer._new_offset(read.tp) == 150
        read.consumer._committed_offset[read.tp] = 150

        for offsets in ([100, 120], [121, 160], [161, 170]):
            read.consumer.ack(await read.handed_on(*offsets))
        assert read.consumer._new_offset(read.tp) == 171

    asyncio.run(go())


def test_an_acknowledgement_does_not_stand_for_a_poll_that_was_read_again_and_longer() -> None:
    handed_on = HandedOn(1)
    handed_on.add(1, 2)
    handed_on.add(3, 5)
    assert handed_on.committable([5], 0) is None
    handed_on.add(1, 5)
    assert handed_on.committable([], 0) is None
    assert handed_on.committable([5], 0) == 6


def test_what_was_handed_on_is_not_acknowledged_before_its_stream_gives_it() -> None:
    async def go() -> None:
        read = Read()
        message = await read.handed_on(1)
        assert message in read.consumer.unacked
        read.consumer.ack(message)
        assert message not in read.consumer.unacked

    asyncio.run(go())


@pytest.mark.parametrize("why", ["the reader went back", "another generation"])
def test_what_is_read_again_stands_for_what_was_handed_on_before(why: str) -> None:
    async def go() -> None:
        read = Read()
        read.consumer.ack(await read.handed_on(0, 1))
        await read.handed_on(2, 3)
        await read.handed_on(4, 5)
        read.queue.clear()  # as Faust does it
        if why == "another generation":
            read.app.consumer_generation_id += 1
        read.consumer.ack(await read.handed_on(0, 1, 2, 3, 4))
        assert read.consumer._new_offset(read.tp) == 5
        read.consumer.ack(await read.handed_on(5, 6))
        assert read.consumer._new_offset(read.tp) == 7

    asyncio.run(go())


@pytest.mark.parametrize("reason", ["partitions move", "the flow has stopped"])
def test_a_message_waits_where_it_has_to_and_goes_on_then(reason: str) -> None:
    async def go() -> None:
        read = Read()
        moving = read.app.topics._tp_to_callback_lock
        if reason == "partitions move":
            await moving.acquire()
        else:
            read.app.flow_control.suspend()
        handing = asyncio.create_task(read.hand_on(read.polled(1)))
        await asyncio.sleep(0)
        assert not read.queued
        if reason == "partitions move":
            moving.release()
        else:
            read.app.flow_control.resume()
        await asyncio.wait_for(handing, 10)
        assert read.queued == [1]

    asyncio.run(go())


def test_a_message_that_waits_for_room_is_given_up_where_the_flow_is_suspended() -> None:
    """By Faust's own race between the two, as its fetcher runs it."""

    async def go() -> None:
        read = Read()
        for offset in (7, 8, 9):
            await read.hand_on(read.polled(offset))
        race = asyncio.create_task(read.hand_on(read.polled(10)))
        async with asyncio.timeout(10):
            while not read.queue._putters:  # it waits for room
                await asyncio.sleep(0)
            read.consumer.suspend_flow.set()
            await race
        assert read.queued == [7, 8, 9]

    asyncio.run(go())


def test_what_was_read_gathers_up_to_a_batch_and_is_taken_in_its_order() -> None:
    async def go() -> None:
        read, gathered = Read(), Gathered(3)
        events = [SimpleNamespace(message=read.polled(*offsets)) for offsets in ([1], [2, 3], [4, 5])]
        assert (gathered.has_some.is_set(), gathered.has_room.is_set()) == (False, True)
        gathered.add(events[0])
        assert (gathered.has_some.is_set(), gathered.has_room.is_set()) == (True, True)
        gathered.add(events[1])
        assert (gathered.has_some.is_set(), gathered.has_room.is_set()) == (True, False)
        assert gathered.take() == events[:2]
        assert (gathered.has_some.is_set(), gathered.has_room.is_set()) == (False, True)
        gathered.add(events[2])
        assert gathered.has_room.is_set(), "what was taken is not counted any more"

    asyncio.run(go())


def test_fetched_records_come_partition_by_partition_each_in_its_order() -> None:
    fetched = {TP("t", 1): ["a", "b"], TP("t", 0): [], TP("u", 0): ["c", "d"]}
    in_order = list(PartitionByPartition({"u"}).iterate(fetched))
    assert in_order == [(TP("t", 1), "a"), (TP("t", 1), "b"), (TP("u", 0), ["c", "d"])]


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
