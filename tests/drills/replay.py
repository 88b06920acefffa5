"""The replay drill: history shuffled, repeated and partly too late, through Kafka, the worker and the online store."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from contracts.settings import Settings
from contracts.topics import SALES
from contracts.windows import HOUR_MS
from streams.lag import drain
from tests.drills.arrival import Faults, Sent, arrivals, lines_of, placed
from tests.drills.evidence import BARS, gather
from tests.drills.ground import ground
from tests.drills.sending import send_all
from tests.drills.sources import events_of
from tests.drills.workers import new_worker
from tests.outcome import Bar, Outcome

DRAIN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Replay:
    """What to send and what goes wrong with it. `sample` keys are also held against the oracles."""

    data: Path | None
    lines: int | None
    shuffle_hours: float
    duplicates: float
    late: float
    seed: int
    sample: int


def planned(settings: Settings, plan: Replay) -> list[Sent]:
    """The messages of a replay in the order of their arrival."""
    faults = Faults(int(plan.shuffle_hours * HOUR_MS), plan.duplicates, plan.late, settings.allowed_lateness_ms)
    events = events_of(settings, plan.data, plan.lines, plan.seed)
    return list(placed(arrivals(events, faults, random.Random(plan.seed)), settings.topic_partitions))


def run(settings: Settings, plan: Replay) -> Outcome:
    """What was found. Raises DependencyUnavailable where a server or the worker fails."""
    sent = planned(settings, plan)
    with ground(settings) as place:
        worker = new_worker(place.settings, place.folder)
        worker.start()
        try:
            worker.ready_after()
            started = time.monotonic()
            send_all(place.settings, sent)
            sent_after = time.monotonic() - started
            drain(place.settings, DRAIN_SECONDS, lambda _: None)
            seconds = time.monotonic() - started
            duplicates = sum(worker.counted("rd360_stream_duplicates_total").values())
            worker.stop()
        finally:
            if worker.ended() is None:
                worker.kill()
        evidence = gather(place.settings, sent, place.folder, plan.sample)
        notes = [*evidence.notes(), healed()]
    repeated = sum(one.kind == "duplicate" for one in sent)
    lines = sum(lines_of(one.event) for one in sent if one.topic is SALES)
    figures = {
        "messages": len(sent),
        "receipts": sum(one.topic is SALES and one.kind != "duplicate" for one in sent),
        "lines": lines,
        "duplicates": repeated,
        "duplicates_missed": abs(repeated - int(duplicates)),
        **evidence.figures(),
        "sent_seconds": round(sent_after, 1),
        "seconds": round(seconds, 1),
        "lines_per_second": round(lines / seconds),
    }
    return Outcome("drill replay", figures, (*BARS, Bar("duplicates_missed", at_most=0)), notes=notes)


def healed() -> str:
    """What became of the late ones once features were rebuilt from the archive, where they count: a note while that cannot be.

    To come with `rd360 features rebuild`: rebuild, then `gather` again with no late key left out.
    """
    return "Not healed: there is no `rd360 features rebuild` yet, after which the late ones must count too"
