"""The same kernel and the same rows under Quix Streams: its consumer, its state with its changelog, a sink that writes to Redis.

`python -m tests.bench.quix_loop RECEIPTS PROJECT` runs in the environment of requirements/peers.txt, reads so many receipts and
prints its span. It is the most favourable form that keeps what the worker promises: one call a receipt, states as bytes under the
message's own key so that nothing is sent again to other partitions, decoded states kept in memory as the worker keeps them, rows
written once a checkpoint and key, by the worker's own format, all in one pipeline.
"""

from __future__ import annotations

import sys
from typing import Any

from quixstreams import Application, State, message_context
from quixstreams.sinks import BatchingSink, SinkBatch
from redis import Redis

from contracts.errors import InvalidEvent
from contracts.settings import Settings, load_settings
from contracts.topics import SALES, Delivery, accept
from featurestore.redis_format import RowFormat
from featurestore.rows import Values
from streams.collector import calm_collector
from streams.views import Key, SalesKernel, row
from tests.bench.alone import Span, kernel, say

COMMIT_SECONDS = 1.0  # as the worker; with its default of 5 rows would be no fresher than that
CHUNK = 1_000  # rows a pipeline, as the worker
Changed = dict[Key, tuple[Any, tuple[Values, ...]]]  # state and features of each key


class Rows:
    """What one receipt changes: the stateful function of the data frame. Called in the order of each partition."""

    def __init__(self, settings: Settings, kernel_: SalesKernel) -> None:
        self._kernel, self._partitions = kernel_, settings.topic_partitions
        self._max_lead = settings.max_event_lead_ms
        self._topic = SALES
        self._states: dict[Key, Any] = {}

    def __call__(self, value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> Changed:
        place = message_context()
        changed: Changed = {}
        try:
            event = accept(self._topic, value, Delivery(key, place.partition, timestamp, self._partitions), self._max_lead)
        except InvalidEvent:
            return changed
        for key_, part in self._kernel.split(event):
            name = key_[1].encode()  # its state has the store, the message's key, before it
            one = self._states.get(key_)
            if one is None:
                raw = state.get_bytes(name)
                one = self._states[key_] = self._kernel.empty() if raw is None else self._kernel.decode(raw)
            if self._kernel.apply(one, part, place.offset) == "applied":
                _, features = self._kernel.settle(key_, one)
                state.set_bytes(name, self._kernel.encode(one))
                changed[key_] = (one, features)
        return changed


class RedisSink(BatchingSink):
    """Writes the rows of a checkpoint, the last one of each key."""

    def __init__(self, settings: Settings, project: str) -> None:
        super().__init__()
        host, port = settings.redis.rsplit(":", 1)
        self._redis = Redis(host=host, port=int(port))
        self._format = RowFormat(SalesKernel.view.name, project.encode())
        self.has_written = False

    def write(self, batch: SinkBatch) -> None:
        changed: Changed = {}
        for item in batch:
            changed.update(item.value)
        commands = [
            self._format.command(row(SalesKernel.layout, key, state, features)) for key, (state, features) in changed.items()
        ]
        connection = self._redis.connection_pool.get_connection()
        for start in range(0, len(commands), CHUNK):
            chunk = commands[start : start + CHUNK]
            connection.send_packed_command(chunk)
            for _ in chunk:
                connection.read_response()
        self._redis.connection_pool.release(connection)
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


def run(settings: Settings, receipts: int, project: str) -> None:
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
    sink = RedisSink(settings, project)
    count = Count(app, sink, receipts)
    topic = app.topic(SALES.name(settings.topic_prefix), key_deserializer="bytes", value_deserializer="bytes")
    app.dataframe(topic).apply(Rows(settings, kernel(settings)), stateful=True, metadata=True).sink(sink)
    calm_collector()
    app.run()
    say(count.span.end(count.done))


if __name__ == "__main__":
    run(load_settings(), int(sys.argv[1]), sys.argv[2])
