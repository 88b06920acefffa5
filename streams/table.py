"""The states of a view: in RocksDB here, and in a compacted changelog on Kafka, from which Faust restores what is missing.

Faust's table declares and assigns them, and says what is to be restored; writing goes round its dictionary API, which costs a
task per key and cannot write outside the iteration of a stream. That touches two of Faust's private parts, both in this module:
the RocksDB handle of a partition, and the key under which Faust keeps its changelog offset. A test holds the Faust version this
was written for.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import faust
import rocksdict

from contracts.features import View
from contracts.settings import Settings
from streams import names
from streams.changelog import Changelog, Record
from streams.polls import Fetched

WRITTEN_FOR_FAUST = "0.15.3"
# Per partition and view. Faust's defaults (2 GB of cache, three buffers of 64 MB each) are those of a machine of its own.
ROCKSDB = {"write_buffer_size": 8 << 20, "max_write_buffer_number": 2, "block_cache_size": 16 << 20, "max_open_files": 64}
# Of the changelog, until they are stored: a few thousand records. Not 1, at which Faust reads on once all is restored.
POLLS_AT_ONCE = 2


class StateTable:
    """The stored states of one view, by partition."""

    def __init__(self, app: faust.App, settings: Settings, view: View) -> None:
        self._log = Changelog(settings)
        self._changelog = names.changelog(settings, view)
        self._table = _table(app, settings, view)
        self._table.apply_changelog_batch = lambda polls: self.restore([event.message for event in polls])

    def get(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        """The stored states of keys, in their order; None where there is none."""
        in_order = sorted(keys)  # neighbours share a block: half the time, and one call leaves the interpreter to others
        found: dict[bytes, bytes | None] = dict(zip(in_order, self._rocksdb(partition).get(in_order), strict=True))
        return [found[key] for key in keys]

    def items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All stored states of a partition."""
        offset_key = self._store().offset_key
        for key, value in self._rocksdb(partition).items():
            if key != offset_key:
                yield key, value

    def keys_after(self, partition: int, key: bytes, limit: int) -> list[bytes]:
        """The next stored keys of a partition after a key, in their order; from the first one after b""."""
        keys = self._rocksdb(partition).keys(from_key=key) if key else self._rocksdb(partition).keys()
        wanted = (found for found in keys if found not in (key, self._store().offset_key))
        return list(itertools.islice(wanted, limit))

    async def put(self, states: Mapping[int, Sequence[Record]]) -> None:
        """Stores states of keys by partition: on Kafka first, acknowledged, then here with the changelog offset that they reach.

        The local copy is therefore never ahead of the changelog. One call at a time. Raises DependencyUnavailable; all may be
        put again then.
        """
        if any(states.values()):
            await asyncio.to_thread(self._put, states)

    def restore(self, polls: Iterable[Fetched]) -> None:
        """Stores what was read back from the changelog, each poll with the offset that it reaches."""
        for poll in polls:
            batch = rocksdict.WriteBatch(raw_mode=True)
            for record in poll.records:
                if record.value is None:
                    batch.delete(record.key)
                else:
                    batch.put(record.key, record.value)
            self._write(poll.partition, batch, poll.offset)

    def _put(self, states: Mapping[int, Sequence[Record]]) -> None:
        for partition, offset in self._log.write(self._changelog, states).items():
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, raw in states[partition]:
                batch.put(key, raw)
            self._write(partition, batch, offset)

    def _write(self, partition: int, batch: Any, changelog_offset: int) -> None:
        batch.put(self._store().offset_key, str(changelog_offset).encode())
        self._rocksdb(partition).write(batch)

    def _rocksdb(self, partition: int) -> Any:
        return self._store()._db_for_partition(partition)

    def _store(self) -> Any:
        return self._table.data


def _table(app: faust.App, settings: Settings, view: View) -> Any:
    return app.Table(
        names.table(view),
        partitions=settings.topic_partitions,
        key_type=bytes,
        value_type=bytes,
        recovery_buffer_size=POLLS_AT_ONCE,
        options=dict(ROCKSDB),
    )
