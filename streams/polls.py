"""What a poll of Kafka brings of a partition, handed through Faust as one message, acknowledged and committed as one.

Faust offers none of it, so this touches private parts of its consumer, as `kafka_client.py` does. A test holds them to be there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Container, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any

from faust.types.tuples import ConsumerMessage


class Fetched(ConsumerMessage):
    """What one poll brought of a partition, as one message to Faust: the last record's offset stands for all of them."""

    __slots__ = ("records",)

    def __init__(self, tp: Any, records: Sequence[Any], generation_id: int) -> None:
        last = records[-1]
        seconds = last.timestamp / 1000
        super().__init__(tp.topic, tp.partition, last.offset, seconds, 0, [], b"", b"", None, tp=tp, generation_id=generation_id)
        self.records = records


class HandedOn:
    """The polls of one partition that were handed on in one generation of the group, and which of them are acknowledged."""

    def __init__(self, generation_id: int | None) -> None:
        self.generation_id = generation_id
        self._last: deque[int] = deque()  # the last offset of each
        self._acknowledged: set[int] = set()

    def add(self, first: int, last: int) -> None:
        """Notes a poll. Where the reader went back for it, those that it brings again no longer count."""
        while self._last and self._last[-1] >= first:
            self._acknowledged.discard(self._last.pop())
        self._last.append(last)

    def committable(self, acknowledged: Iterable[int], committed: int) -> int | None:
        """The offset after the polls that are acknowledged now, up to the first that is not; None where that is not further than
        when it was last asked for.

        What ends before the committed offset is acknowledged: it was read again because a batch ended late, while partitions
        moved, and Faust takes no acknowledgement of it.
        """
        self._acknowledged.update(acknowledged)
        offset = None
        while self._last and (self._last[0] < committed or self._last[0] in self._acknowledged):
            offset = self._last.popleft() + 1
        self._acknowledged.intersection_update(self._last)
        return offset


def hand_on_polls(app: Any, sources: Collection[str], changelogs: Collection[str]) -> None:
    """Has Faust hand on what a poll brought of a partition of these topics as one message, `Fetched`.

    Message by message it makes an event of each, notes that it is not acknowledged, that it is, and which offsets in a row are:
    a third of what its process does. What it commits of the sources follows from the polls that were acknowledged. Faust would
    take the offsets between two of them for a gap, and a poll that was never acknowledged for a part of it. A changelog is never
    acknowledged; message by message Faust looks with each whether all is restored, which takes longer than to store it.
    """
    consumer, in_polls = app.consumer, frozenset((*sources, *changelogs))
    one_by_one, by_faust = consumer._to_message, consumer.callback
    offset_after, note_gap = consumer._new_offset, consumer._add_gap
    handed_on: dict[Any, HandedOn] = {}

    def to_message(tp: Any, polled: Any) -> Any:
        return Fetched(tp, polled, app.consumer_generation_id) if tp.topic in in_polls else one_by_one(tp, polled)

    def hand_on(message: Any) -> Coroutine[Any, Any, None]:
        if message.topic in sources:
            known = handed_on.get(message.tp)
            if known is None or known.generation_id != message.generation_id:
                known = handed_on[message.tp] = HandedOn(message.generation_id)
            known.add(message.records[0].offset, message.offset)
            consumer._unacked_messages.add(message)  # from now on; Faust notes it once its stream gives it
        handing: Coroutine[Any, Any, None] = by_faust(message)
        return handing

    def new_offset(tp: Any) -> int | None:
        if tp.topic not in sources:
            of_faust: int | None = offset_after(tp)
            return of_faust
        acknowledged, known = consumer._acked[tp], handed_on.get(tp)
        offset = None if known is None else known.committable(acknowledged, consumer._committed_offset[tp] or 0)
        consumer._acked_index[tp].difference_update(acknowledged)
        acknowledged.clear()
        return offset

    async def add_gap(tp: Any, first: int, last: int) -> None:
        if tp.topic not in sources:
            await note_gap(tp, first, last)

    consumer.scheduler = PartitionByPartition(in_polls)
    consumer._to_message, consumer.callback = to_message, hand_on
    consumer._new_offset, consumer._add_gap = new_offset, add_gap


class PartitionByPartition:
    """The order of polled records: as they lie there, one partition after another, those of some topics in one piece.

    Faust takes turns between topics and partitions, by three iterators for each record. A partition has no more than one fetch
    here, and agents take batches of many.
    """

    def __init__(self, in_one_piece: Container[str]) -> None:
        self._in_one_piece = in_one_piece

    def iterate(self, records: Mapping[Any, Sequence[Any]]) -> Iterator[tuple[Any, Any]]:
        """Each record, or all at once, with its partition."""
        for tp, of_partition in records.items():
            if tp.topic not in self._in_one_piece:
                for record in of_partition:
                    yield tp, record
            elif of_partition:
                yield tp, of_partition
