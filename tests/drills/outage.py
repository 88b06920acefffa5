"""The outage drill: the online store and Kafka are stopped, emptied and started again under a running worker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.topics import SALES
from featurestore.online import open_online_store
from lake.recompute import TOPIC_OF
from streams.lag import LagReader, drain
from tests.drills.arrival import Sent, lines_of
from tests.drills.evidence import BARS, gather
from tests.drills.replay import Replay, planned
from tests.drills.sending import send_all
from tests.drills.servers import Servers, own_servers
from tests.drills.workers import DrillWorker, new_worker
from tests.outcome import Bar, Outcome
from tests.own_servers import Server
from tests.stream_worker import apart

DRAIN_SECONDS = 600.0
REFILL_SECONDS = 120.0
LEADS_SECONDS = 60.0
POLL_SECONDS = 0.2
STEPS = 5  # messages are sent in so many shares: one before, one in each of the four disturbances


@dataclass(frozen=True, slots=True)
class OutagePlan:
    """What to send, and how long a server is away, s."""

    replay: Replay
    seconds: float


class Kept:
    """Starts a worker again when it has ended, as the local stack does, and counts that: it should never be needed."""

    def __init__(self, worker: DrillWorker) -> None:
        self.worker = worker
        self.ends: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="keep the worker", daemon=True)

    def __enter__(self) -> Kept:
        self.worker.start()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        try:
            if kind is None:
                self.worker.stop()
        finally:
            if self.worker.ended() is None:
                self.worker.kill()

    def _keep(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            code = self.worker.ended()
            if code is not None:
                self.ends.append(code)
                self.worker.start()


@dataclass(slots=True)
class Seen:
    """Seconds from a server's return to the end of the backlog, by disturbance; keys that a store never got back."""

    seconds: dict[str, float] = field(default_factory=dict)
    not_refilled: int = 0


def run(settings: Settings, plan: OutagePlan, say: Callable[[str], None]) -> Outcome:
    """What was found. Raises DependencyUnavailable where a server does not come back, or the worker does not catch up."""
    with own_servers(settings) as servers:
        own = apart(servers.settings)
        sent = planned(own, plan.replay)
        folder = servers.settings.home / "drill"
        folder.mkdir()
        with Kept(new_worker(own, folder)) as kept:
            kept.worker.ready_after()
            seen = _Drill(own, servers, sent, plan.seconds, say).disturb()
        evidence = gather(own, sent, folder, plan.replay.sample)
    figures: dict[str, Any] = {
        "messages": len(sent),
        "lines": sum(lines_of(one.event) for one in sent if one.topic is SALES),
        "outage_seconds": plan.seconds,
        "worker_restarts": len(kept.ends),
        "not_refilled": seen.not_refilled,
        **evidence.figures(),
        **{f"{name}_caught_up_seconds": round(seconds, 1) for name, seconds in seen.seconds.items()},
    }
    bars = (*BARS, Bar("worker_restarts", at_most=0), Bar("not_refilled", at_most=0))
    notes = [*evidence.notes(), *([f"The worker ended with {kept.ends[:10]}"] if kept.ends else [])]
    return Outcome("drill outage", figures, bars, notes=notes)


class _Drill:
    """Four disturbances, a share of the messages in each."""

    def __init__(
        self, settings: Settings, servers: Servers, sent: Sequence[Sent], away: float, say: Callable[[str], None]
    ) -> None:
        self._settings, self._servers, self._sent, self._away, self._say = settings, servers, sent, away, say
        self._step = 0
        self._seen = Seen()

    def disturb(self) -> Seen:
        """All of them, each caught up with before the next."""
        self._send()
        drain(self._settings, DRAIN_SECONDS, lambda _: None)
        self._online_store_away()
        self._online_store_emptied()
        self._online_store_restarted()
        self._kafka_away()
        return self._seen

    def _online_store_away(self) -> None:
        self._say(f"The online store is away for {self._away:.0f} s, and events go on")
        self._servers.valkey.stop()
        self._send()
        self._come_back(self._servers.valkey)
        self._catch_up("store_away")

    def _online_store_emptied(self) -> None:
        self._say("The online store is emptied, and events go on")
        before = _keys(self._settings)
        host, port = self._settings.redis.rsplit(":", 1)
        with Redis(host=host, port=int(port)) as client:
            client.flushall()
        self._send()
        started = self._catch_up("store_emptied")
        deadline = started + REFILL_SECONDS
        while (left := len(before - _keys(self._settings))) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        self._seen.not_refilled = left
        self._seen.seconds["store_refilled"] = time.monotonic() - started

    def _online_store_restarted(self) -> None:
        self._say("The online store is started again, and events go on")
        self._servers.valkey.stop()
        self._servers.valkey.start()
        self._send()
        self._catch_up("store_restarted")

    def _kafka_away(self) -> None:
        """What was sent just before is still in the worker's hands when Kafka goes."""
        self._say(f"Kafka is away for {self._away:.0f} s")
        self._send()
        self._servers.kafka.stop()
        self._come_back(self._servers.kafka)
        self._catch_up("kafka_away")

    def _come_back(self, server: Server) -> None:
        time.sleep(self._away)  # the absence is what is drilled
        server.start()

    def _send(self) -> None:
        share = len(self._sent) * self._step // STEPS, len(self._sent) * (self._step + 1) // STEPS
        send_all(self._settings, self._sent[slice(*share)])
        self._step += 1

    def _catch_up(self, name: str) -> float:
        """Waits for the end of the backlog; when that wait began."""
        started = time.monotonic()
        self._until_kafka_leads()
        drain(self._settings, DRAIN_SECONDS, lambda _: None)
        self._seen.seconds[name] = time.monotonic() - started
        return started

    def _until_kafka_leads(self) -> None:
        """A broker that has just come back answers before it leads its partitions again.

        One client asks all along: librdkafka has crashed where one went while its questions were still looking for a leader.
        """
        deadline = time.monotonic() + LEADS_SECONDS
        with LagReader(self._settings) as kafka:
            while True:
                try:
                    kafka.lags()
                except DependencyUnavailable:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(POLL_SECONDS)
                else:
                    return


def _keys(settings: Settings) -> set[tuple[str, ...]]:
    """View and key of every online row of the streaming views."""
    online = open_online_store(settings)
    try:
        return {(view, *key) for view in TOPIC_OF for key in online.scan(view)}
    finally:
        online.close()
