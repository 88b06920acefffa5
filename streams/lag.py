"""How far the worker is: per source partition, the offset its group has committed and the end of the topic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # the library lists no names for export

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import SOURCES
from streams import names
from streams.broker import TIMEOUT_SECONDS, connect, has_messages, reader, unavailable

POLL_SECONDS = 0.5
STALLED_SECONDS = 3.0
EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the library's own gap
LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the library's own gap


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """One source partition. `committed` is the next offset the worker would read; all before it is written."""

    topic: str
    partition: int
    committed: int
    end: int

    @property
    def behind(self) -> int:
        """Offsets not yet committed."""
        return max(0, self.end - self.committed)


class LagReader:
    """Asks Kafka how far the worker is, over connections that are kept: to open them takes longer than to ask.

    A consumer asks what the group has committed, without joining it. librdkafka 2.16's admin client would end the process by a
    segmentation fault where the broker does not lead the group's offsets yet, as one that has just started.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises DependencyUnavailable."""
        self._settings, self._admin = settings, connect(settings)
        self._group = reader(settings, names.group(settings))

    def __enter__(self) -> LagReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._group.close()

    def lags(self) -> list[PartitionLag]:
        """How far the worker is in each source partition. Raises DependencyUnavailable, or ConfigurationError without topics."""
        try:
            wanted = _partitions(self._settings, self._admin)
            earliest, ends = _offsets(self._admin, wanted, EARLIEST), _offsets(self._admin, wanted, LATEST)
            answer = self._group.committed([TopicPartition(t, p) for t, p in wanted], timeout=TIMEOUT_SECONDS)
        except KafkaException as error:
            raise unavailable(self._settings, "reading the worker's offsets", error) from error
        committed = {(x.topic, x.partition): x.offset for x in answer}  # below 0 where nothing was
        return [PartitionLag(t, p, max(committed[t, p], earliest[t, p]), ends[t, p]) for t, p in wanted]


def lag(settings: Settings) -> list[PartitionLag]:
    """How far the worker is, asked once; see `LagReader.lags`."""
    with LagReader(settings) as kafka:
        return kafka.lags()


def drain(settings: Settings, timeout: float, report: Callable[[list[PartitionLag]], None]) -> list[PartitionLag]:
    """Waits until the worker has committed all there was when this was called; the lags then.

    Raises DependencyUnavailable when it has not after `timeout` seconds.
    """
    with LagReader(settings) as kafka:
        deadline, goal = time.monotonic() + timeout, {(x.topic, x.partition): x.end for x in kafka.lags()}
        moved_at, last = time.monotonic(), -1
        while True:
            now = kafka.lags()
            left = [x for x in now if x.committed < goal[x.topic, x.partition]]
            report(now)
            behind = sum(x.behind for x in left)
            if behind != last:
                moved_at, last = time.monotonic(), behind
            # The last offsets may be none that a reader ever sees: the end marks of somebody's transactions.
            stalled = time.monotonic() - moved_at > STALLED_SECONDS
            if not left or (stalled and not any(has_messages(settings, x.topic, x.partition, x.committed) for x in left)):
                return now
            if time.monotonic() > deadline:
                raise _not_drained(left, timeout)
            time.sleep(POLL_SECONDS)


def _not_drained(left: Iterable[PartitionLag], timeout: float) -> DependencyUnavailable:
    where = ", ".join(f"{x.topic}[{x.partition}] {x.behind}" for x in left)
    return DependencyUnavailable(
        f"The stream worker is not done after {timeout:.0f} s",
        doing="waiting for it to read all that was sent",
        why=f"messages are left: {where}",
        hint="Does it run, and does it move? `./rd360 status`, `./rd360 logs worker`.",
    )


def _partitions(settings: Settings, admin: AdminClient) -> list[tuple[str, int]]:
    known = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    sources = [topic.name(settings.topic_prefix) for topic in SOURCES]
    missing = [name for name in sources if name not in known]
    if missing:
        raise ConfigurationError(
            f"There is no topic {', '.join(missing)}",
            doing="reading the worker's offsets",
            hint="`./rd360 stream topics` makes them.",
        )
    return [(name, number) for name in sources for number in sorted(known[name].partitions)]


def _offsets(admin: AdminClient, wanted: list[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], int]:
    asked = {TopicPartition(topic, partition): spec for topic, partition in wanted}
    answers = admin.list_offsets(asked, request_timeout=TIMEOUT_SECONDS)
    return {(at.topic, at.partition): answer.result().offset for at, answer in answers.items()}
