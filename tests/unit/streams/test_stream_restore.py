"""How states come back from the changelog, through Faust's own loop into RocksDB, without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import faust
from aiokafka.structs import ConsumerRecord
from faust.tables.recovery import Recovery
from faust.types import TP

from contracts.features import SALES_ROLLING
from contracts.settings import load_settings
from streams import names
from streams.polls import hand_on_polls
from streams.table import StateTable

TURNS = 20  # of the event loop, which Faust needs at most for what it has taken from its queue; it needs no time
Records = Sequence[tuple[int, bytes, bytes | None]]  # offset, key, state


class Restored:
    """A Faust app with one table, of which two partitions are to be read back up to some offsets."""

    def __init__(self, folder: Path, up_to: Mapping[int, int]) -> None:
        settings = load_settings(home=folder)
        self.app = faust.App(
            "restores",
            broker="aiokafka://",
            store="rocksdb://",
            datadir=str(folder),
            topic_partitions=2,
            loop=asyncio.get_running_loop(),
        )
        self.states = StateTable(self.app, settings, SALES_ROLLING)
        self.topic = names.changelog(settings, SALES_ROLLING)
        self.app.flow_control.resume()
        table = self.states._table
        channel = table.changelog_topic.clone_using_queue(self.app.tables.changelog_queue)
        self.recovery: Any = self.app.tables.recovery
        self.consumer: Any = self.app.consumer
        hand_on_polls(self.app, [], [self.topic])
        for partition, offset in up_to.items():
            tp = TP(self.topic, partition)
            self.app.topics._tp_to_callback[tp] = self.app.topics._build_handler(tp, {channel})
            self.recovery.active_tps.add(tp)
            self.recovery.tp_to_table[tp] = table
            self.recovery.active_highwaters[tp] = offset
            self.recovery.active_offsets[tp] = table.persisted_offset(tp) or -1

    async def read(self, *polls: Mapping[int, Records]) -> bool:
        """Hands on what polls bring, as Faust's fetcher does, to its recovery. Whether all is restored then."""
        self.recovery._set_recovery_started()
        reading = asyncio.create_task(Recovery._slurp_changelogs.fun(self.recovery))
        for poll in polls:
            brought = {
                TP(self.topic, partition): [self._record(partition, *one) for one in some] for partition, some in poll.items()
            }
            for tp, found in self.consumer.scheduler.iterate(brought):
                await self.consumer.callback(self.consumer._to_message(tp, found))
        async with asyncio.timeout(30):
            while not self.app.tables.changelog_queue.empty():
                await asyncio.sleep(0)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        reading.cancel()
        return not self.recovery.in_recovery

    def _record(self, partition: int, offset: int, key: bytes, state: bytes | None) -> Any:
        return ConsumerRecord(self.topic, partition, offset, 1_000, 0, key, state, 1, 1, 1, ())


def test_what_polls_bring_of_the_changelog_is_stored_with_the_offset_that_it_reaches(tmp_path: Path) -> None:
    """The latest state of a key counts, offsets have gaps where records were compacted away, and a key may have been dropped."""

    async def go() -> None:
        restored = Restored(tmp_path, {0: 9, 1: 4})
        done = await restored.read(
            {0: [(1, b"a", b"old"), (2, b"b", b"B")], 1: [(4, b"c", b"C")]},
            {0: [(5, b"a", b"A"), (6, b"d", b"D"), (9, b"d", None)]},
        )
        assert done
        assert dict(restored.states.items(0)) == {b"a": b"A", b"b": b"B"}
        assert dict(restored.states.items(1)) == {b"c": b"C"}
        reached = [restored.states._table.persisted_offset(TP(restored.topic, partition)) for partition in (0, 1)]
        assert reached == [9, 4]
        assert not restored.consumer._unacked_messages, "nothing of a changelog is acknowledged or committed"

    asyncio.run(go())


def test_nothing_is_restored_before_the_last_record_has_come(tmp_path: Path) -> None:
    async def go() -> None:
        restored = Restored(tmp_path, {0: 9, 1: 4})
        assert not await restored.read({0: [(9, b"a", b"A")]})
        assert not await restored.read({1: [(3, b"b", b"old")]})
        assert await restored.read({1: [(4, b"b", b"B")]})
        assert dict(restored.states.items(1)) == {b"b": b"B"}

    asyncio.run(go())


def test_what_is_stored_already_is_not_gone_over_by_what_was_before_it(tmp_path: Path) -> None:
    async def go() -> None:
        restored = Restored(tmp_path, {0: 9})
        await restored.read(
            {0: [(7, b"a", b"A")]}, {0: [(3, b"a", b"old"), (5, b"a", b"older")]}, {0: [(7, b"a", b"A"), (9, b"b", b"B")]}
        )
        assert dict(restored.states.items(0)) == {b"a": b"A", b"b": b"B"}

    asyncio.run(go())
