"""`rd360 bench freshness`: how long after a receipt was due to be sent its row is there for Feast's own client.

The load does not wait for the answers (open loop), and the time counts from when a receipt was due: a stall delays all that was
due meanwhile, and all of it counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

from contracts.features import SALES_ROLLING, SOURCE_OFFSET
from contracts.settings import Settings
from featurestore.online import OnlineStore
from tests import ground
from tests.bench.open_loop import LINES_A_RECEIPT, Sender, Watched
from tests.bench.usage import cpu_seconds
from tests.outcome import Bar, Outcome, spread
from tests.stream_worker import opened

WARM_UP_SECONDS = 5.0  # the first flushes load code
POLL_SECONDS = 0.002  # between two reads: how exact a latency is, beside the read itself
GIVEN_UP_SECONDS = 30.0
QUICK_RATE, QUICK_SECONDS = 300, 10.0
CORRECT = (Bar("watched", at_least=1), Bar("never_readable", at_most=0))
TIMING = (Bar("p99_ms", at_most=150),)


@dataclass(slots=True)
class Watch:
    """Reads the rows of the watched receipts again and again. `seen` has when each was due, and its time from due to readable."""

    store: OnlineStore
    seen: list[tuple[float, float]] = field(default_factory=list)
    pending: list[Watched] = field(default_factory=list)
    given_up: int = 0
    reads: int = 0

    def look(self, clock: Callable[[], float] = time.monotonic) -> None:
        """One read of all that is not there yet."""
        if not self.pending:
            return
        keys = list(dict.fromkeys(one.key for one in self.pending))
        rows = dict(zip(keys, self.store.read(SALES_ROLLING.name, keys), strict=True))
        self.reads += 1
        now, left = clock(), []
        for one in self.pending:
            row = rows[one.key]
            # not by its time: time alone moves a row's on, the offset is that of the last receipt in it
            if row is not None and row[SOURCE_OFFSET] >= one.offset:
                self.seen.append((one.due, now - one.due))
            elif now - one.due > GIVEN_UP_SECONDS:
                self.given_up += 1
            else:
                left.append(one)
        self.pending = left


def run(settings: Settings, rate: float, minutes: float, say: Callable[[str], None], *, quick: bool = False) -> Outcome:
    """`rate` receipt lines a second for so many minutes, beside a worker that reads them and a client that asks for them."""
    seconds = QUICK_SECONDS if quick else minutes * 60
    lines_per_second = QUICK_RATE if quick else rate
    with ground.ground(settings) as own, ground.running_worker(own) as process, opened(own) as store:
        process.ready()
        assert process.process is not None
        sender = Sender(own, lines_per_second / LINES_A_RECEIPT, seconds, min(WARM_UP_SECONDS, seconds / 2))
        say(f"{lines_per_second:,g} lines/s for {seconds:.0f} s, the first {sender.warm_up:.0f} s not watched")
        cpu, started = cpu_seconds(process.process.pid), time.monotonic()
        watch = watched(sender, store)
        cpu, wall = cpu_seconds(process.process.pid) - cpu, time.monotonic() - started
        process.stop()
    minutes_seen = by_minute(watch.seen)
    figures: dict[str, Any] = {
        "lines_per_second": lines_per_second,
        "seconds": seconds,
        **latencies([seconds for _, seconds in watch.seen]),
        "p99_ms_spread": round(spread([one["p99_ms"] for one in minutes_seen]), 3),
        "watched": len(watch.seen) + watch.given_up,
        "never_readable": watch.given_up,
        "reads": watch.reads,
        "sent_late_p99_ms": milliseconds(percentile(sender.late, 0.99)),
        "worker_cpu_share": round(cpu / wall, 3),
    }
    return Outcome("bench freshness", figures, CORRECT if quick else (*CORRECT, *TIMING), minutes_seen)


def watched(sender: Sender, store: OnlineStore) -> Watch:
    """Lets a sender run to its end and watches what it sends until all of it was seen or given up."""
    watch = Watch(store)
    sender.start()
    while not sender.is_done or watch.pending or not sender.watched.empty():
        watch.pending += _news(sender)
        watch.look()
        time.sleep(POLL_SECONDS)
    return watch


def by_minute(seen: Sequence[tuple[float, float]]) -> list[dict[str, Any]]:
    """The latencies of each minute in which receipts were due, in order: a steady load is a repetition every minute."""
    first = min((due for due, _ in seen), default=0.0)
    minutes: dict[int, list[float]] = {}
    for due, seconds in sorted(seen):
        minutes.setdefault(int((due - first) // 60), []).append(seconds)
    return [{"minute": number, "watched": len(some), **latencies(some)} for number, some in minutes.items()]


def latencies(seconds: Sequence[float]) -> dict[str, float | None]:
    """The percentiles and the longest, ms; None where nothing was seen."""
    shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
    return {name: milliseconds(percentile(seconds, share)) for name, share in shares.items()}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of them does not exceed; None of none."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


def milliseconds(seconds: float | None) -> float | None:
    """Seconds as milliseconds, to a tenth."""
    return None if seconds is None else round(seconds * 1000, 1)


def _news(sender: Sender) -> list[Watched]:
    found = []
    while True:
        try:
            found.append(sender.watched.get_nowait())
        except Empty:
            return found
