"""The worker's metrics, in a registry of their own so that two workers in one process do not meet."""

from __future__ import annotations

from collections import Counter as Counts

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from contracts import telemetry
from contracts.features import View
from contracts.topics import Topic
from streams.patience import Server
from streams.processor import Work


class Metrics:
    """What the worker counts. All labels are known kinds, never ids."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = self._counter("rd360_stream_events_total", "Valid events taken from a topic.", "topic")
        self._dead = self._counter("rd360_stream_dead_letters_total", "Events that break the contract.", "topic", "reason")
        self._late = self._counter("rd360_stream_late_total", "Events beyond the allowed lateness.", "topic")
        self._duplicates = self._counter("rd360_stream_duplicates_total", "Events whose id was seen before.", "topic")
        self._rebuilt = self._counter(
            "rd360_stream_rebuilt_total", "States from the archive that came, and what became of them.", "topic", "outcome"
        )
        self._rows = self._counter("rd360_stream_rows_written_total", "Rows written to the online store.", "view")
        self._lag = self._gauge("rd360_stream_watermark_lag_seconds", "Clock minus the oldest partition's stream time.", "topic")
        self._keys = self._gauge("rd360_stream_keys", "Keys with a state on this worker.", "view")
        text = "Rows written again because the online store may have lacked them."
        self._refilled = self._counter("rd360_stream_rows_refilled_total", text, "view")
        self._waits = self._counter("rd360_stream_waits_total", "Tries in vain of a server that is away.", "server")
        text = "How long the worker has waited for it, at the latest try; 0 while it is there."
        self._unavailable: dict[Server, Gauge] = {
            "online_store": self._gauge("rd360_stream_online_store_unavailable_seconds", text),
            "kafka": self._gauge("rd360_stream_kafka_unavailable_seconds", text),
        }
        self._partitions = self._gauge("rd360_stream_partitions", "Source partitions that this worker has.")
        self._restore = self._gauge(
            "rd360_stream_restore_seconds", "From the latest start or rebalance until all states were there."
        )
        self._flush = self._histogram("rd360_stream_flush_seconds", "From a batch to its last write.", "view")
        buckets = (1, 10, 100, 1_000, 10_000, 100_000)
        self._flush_rows = self._histogram("rd360_stream_flush_rows", "Rows in one flush.", "view", buckets=buckets)

    def flushed(self, view: View, topic: Topic, works: list[Work], rows: Counts[str], seconds: float) -> None:
        """Counts what was taken, and what was written of it: `rows` by view."""
        for name, count in rows.items():
            self._rows.labels(name).inc(count)
        self._flush.labels(view.name).observe(seconds)
        self._flush_rows.labels(view.name).observe(rows.total())
        for work in works:
            self._events.labels(topic.kind).inc(work.counts["events"])
            self._late.labels(topic.kind).inc(work.counts["late"])
            self._duplicates.labels(topic.kind).inc(work.counts["duplicates"])
            for outcome in ("healed", "moved_on", "foreign"):
                self._rebuilt.labels(topic.kind, outcome).inc(work.counts[outcome])
            for name, count in work.counts.items():
                if name.startswith("dead:"):
                    self._dead.labels(topic.kind, name.removeprefix("dead:")).inc(count)

    def standing(self, view: View, topic: Topic, keys: int, lag_seconds: float | None) -> None:
        """Notes how a view stands."""
        self._keys.labels(view.name).set(keys)
        if lag_seconds is not None:
            self._lag.labels(topic.kind).set(lag_seconds)

    def waited(self, server: Server, seconds: float) -> None:
        """Notes how long a server has been away; 0: it is there again."""
        self._unavailable[server].set(seconds)
        if seconds:
            self._waits.labels(server).inc()

    def refilled(self, view: str, rows: int) -> None:
        """Counts rows that were written again."""
        self._refilled.labels(view).inc(rows)

    def lost(self) -> None:
        """Notes that nothing is assigned."""
        self._partitions.set(0)

    def restored(self, partitions: int, seconds: float) -> None:
        """Notes what is assigned, and how long it took to have its states."""
        self._partitions.set(partitions)
        self._restore.set(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)

    def _counter(self, name: telemetry.Counter, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: telemetry.Gauge, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(
        self, name: telemetry.Histogram, text: str, *labels: str, buckets: tuple[float, ...] = Histogram.DEFAULT_BUCKETS
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)
