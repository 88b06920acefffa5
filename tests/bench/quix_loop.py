"""The same kernel and the same rows under Quix Streams: its consumer, its state with its changelog, a sink that writes to Redis.

`python -m tests.bench.quix_loop RECEIPTS` runs in the environment of requirements/peers.txt, reads so many receipts and
prints its span. It is the most favourable form that keeps what the worker promises: one call a receipt, states as bytes under the
message's own key so that nothing is sent again to other partitions, states kept in memory as the worker keeps them, read once a
checkpoint and key, and their rows written by the worker's own writer.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from quixstreams import Application, State, message_context
from quixstreams.sinks import BatchingSink, SinkBatch

from contracts.errors import InvalidEvent
from contracts.settings import Settings, load_settings
from contracts.topics import SALES, Delivery, accept
from featurestore.pieces import cut, pieces
from featurestore.row_writer import RowWriter
from streams import memory
from streams.key_table import KeyTable
from streams.sales import SalesKernel
from tests.bench.alone import Span, kernel, say

COMMIT_SECONDS = 1.0  # as the worker; with its default of 5 rows would be no fresher than that
PART_KEYS = 4_000  # settled and written in one go, as in the worker
States = dict[int, bytes]  # by the numbers of their keys


class Rows:
    """What one receipt changes: the stateful function of the data frame. Called in the order of each partition."""

    def __init__(self, settings: Settings, kernel_: SalesKernel, keys: KeyTable, states: States) -> None:
        self._kernel, self._partitions = kernel_, settings.topic_partitions
        self._max_lead = settings.max_event_lead_ms
        self._keys, self._states = keys, states

    def __call__(self, value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> States:
        place = message_context()
        try:
            event = accept(SALES, value, Delivery(key, place.partition, timestamp, self._partitions), self._max_lead)
        except InvalidEvent:
            return {}
        batch = self._kernel.batch(self._keys)
        batch.add(event, place.offset)
        taken = self._kernel.take(batch, pieces([self._state(number, state) for number in batch.numbers.tolist()]))
        changed = dict(zip(taken.touched.numbers.tolist(), cut(taken.touched.settled.states), strict=True))
        for number, raw in changed.items():
            state.set_bytes(self._product(number), raw)  # it has the store, the message's key, before it
        self._states |= changed
        return changed

    def _state(self, number: int, state: State) -> bytes:
        found = self._states.get(number)
        return (state.get_bytes(self._product(number)) or b"") if found is None else found

    def _product(self, number: int) -> bytes:
        return self._keys.key(number)[1].encode()


class RedisSink(BatchingSink):
    """Writes the rows of a checkpoint, the last one of each key, and drops from the states what they no longer need."""

    def __init__(self, settings: Settings, kernel_: SalesKernel, keys: KeyTable, states: States) -> None:
        super().__init__()
        self._writer = RowWriter(settings)
        self._kernel, self._keys, self._states = kernel_, keys, states
        self.has_written = False

    def write(self, batch: SinkBatch) -> None:
        changed = list({number: None for item in batch for number in item.value})
        for start in range(0, len(changed), PART_KEYS):
            numbers = changed[start : start + PART_KEYS]
            keys = self._keys.block(np.array(numbers, np.int64))
            settled = self._kernel.settle(keys, pieces([self._states[number] for number in numbers]))
            self._states.update(zip(numbers, cut(settled.states), strict=True))
            self._writer.write(SalesKernel.view.name, settled.rows(slice(None)))
        self.has_written = True


class Count:
    """Ends the application once so many receipts were read. The span begins when the first checkpoint is done."""

    def __init__(self, app: Application, sink: RedisSink, receipts: int) -> None:
        self._app, self._sink, self._receipts = app, sink, receipts
        self.span, self.done = Span(), 0

    def __call__(self, *_: object) -> None:
        if self._sink.has_written and not self.span.has_begun:
            self.span.begin(self.done)
        self.done += 1
        if self.done == self._receipts:
            self._app.stop()


def run(settings: Settings, receipts: int) -> None:
    """Reads so many receipts, and prints the span up to where the last of them is written and committed."""
    group = f"{settings.topic_prefix}quix"
    app = Application(
        broker_address=settings.kafka,
        consumer_group=group,
        auto_offset_reset="earliest",
        commit_interval=COMMIT_SECONDS,
        state_dir=settings.home / "data" / "streams" / group,
        loglevel="WARNING",
        on_message_processed=lambda *place: count(*place),
    )
    kernel_, keys, states = kernel(settings), KeyTable(), States()
    sink = RedisSink(settings, kernel_, keys, states)
    count = Count(app, sink, receipts)
    topic = app.topic(SALES.name(settings.topic_prefix), key_deserializer="bytes", value_deserializer="bytes")
    app.dataframe(topic).apply(Rows(settings, kernel_, keys, states), stateful=True, metadata=True).sink(sink)
    memory.calm()
    app.run()
    say(count.span.end(count.done))


if __name__ == "__main__":
    run(load_settings(), int(sys.argv[1]))
