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
from tests.drills import batch
from tests.drills.arrival import Faults, Sent, arrivals, lines_of, placed
from tests.drills.evidence import BARS, gather
from tests.drills.ground import ground
from tests.drills.sending import send_all
from tests.drills.sources import events_of
from tests.drills.workers import new_worker
from tests.outcome import Bar, Outcome

DRAIN_SECONDS = 3600.0
AFTER_HEALING = (
    "mismatches",
    "missing",
    "extra",
    "oracle_mismatches",
    "late_keys_set_aside",
)  # none of them, with the late ones in


@dataclass(frozen=True, slots=True)
class Replay:
    """What to send and what goes wrong with it. `sample` keys are also held against the oracles."""

    data: Path | None
    lines: int | None
    seed: int
    sample: int
    shuffle_hours: float = 24.0
    duplicates: float = 0.02
    late: float = 0.01


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
            evidence = gather(place.settings, sent, place.folder, plan.sample)
            worker.start()
            worker.ready_after()
            rebuilt = batch.heal(place.settings, sent, place.folder, DRAIN_SECONDS)
            worker.stop()
        finally:
            if worker.ended() is None:
                worker.kill()
        healed = gather(place.settings, sent, place.folder, plan.sample)
    repeated = sum(one.kind == "duplicate" for one in sent)
    lines = sum(lines_of(one.event) for one in sent if one.topic is SALES)
    after = healed.figures()
    figures = {
        "messages": len(sent),
        "receipts": sum(one.topic is SALES and one.kind != "duplicate" for one in sent),
        "lines": lines,
        "duplicates": repeated,
        "duplicates_missed": abs(repeated - int(duplicates)),
        **evidence.figures(),
        "healed_keys": sum(view.healed for view in rebuilt),
        "healed_seconds": round(sum(view.seconds for view in rebuilt), 1),
        **{f"healed_{name}": after[name] for name in AFTER_HEALING},
        "sent_seconds": round(sent_after, 1),
        "seconds": round(seconds, 1),
        "lines_per_second": round(lines / seconds),
    }
    bars = [*BARS, Bar("duplicates_missed", at_most=0), *(Bar(f"healed_{name}", at_most=0) for name in AFTER_HEALING)]
    return Outcome("drill replay", figures, bars, notes=[*evidence.notes(), *healed.notes()])
