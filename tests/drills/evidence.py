"""The proof that every drill ends with: what was sent against what the worker left, by two judges that share no code with it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.settings import Settings
from contracts.windows import StoreCalendars
from featurestore.online import open_online_store
from lake.jobs.parity import online_rows
from lake.parity import Key, Row, Sample, ViewParity
from lake.recompute import TOPIC_OF
from lake.stream_position import LateKey, committed, late_events
from streams.dead_letters import find
from tests.drills import batch, oracle
from tests.drills.arrival import Sent
from tests.drills.lateness import Lateness, account
from tests.drills.oracle import Oracle
from tests.outcome import Bar

ONLINE_TIMEOUT_MS = 10_000  # a thousand rows at once
BARS = (
    Bar("unread", at_most=0),
    Bar("keys_compared", at_least=1),
    Bar("mismatches", at_most=0),
    Bar("missing", at_most=0),
    Bar("extra", at_most=0),
    Bar("oracle_keys", at_least=1),
    Bar("oracle_mismatches", at_most=0),
    Bar("late_wrongly_taken", at_most=0),
    Bar("late_wrongly_set_aside", at_most=0),
    Bar("dead_letters", at_most=0),
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found, once the worker had read all."""

    views: list[ViewParity]
    oracle: Oracle
    lateness: Lateness
    unread: int  # messages that the group has not committed
    dead_letters: int

    def figures(self) -> dict[str, Any]:
        """The figures that BARS hold to their limits, and those that explain them."""
        return {
            "unread": self.unread,
            "keys_compared": sum(view.compared for view in self.views),
            "features_compared": sum(view.compared * len(view.mismatches) for view in self.views),
            "mismatches": sum(sum(view.mismatches.values()) for view in self.views),
            "missing": sum(view.missing for view in self.views),
            "extra": sum(view.extra for view in self.views),
            "oracle_keys": self.oracle.keys,
            "oracle_mismatches": self.oracle.mismatches,
            "late_planned": self.lateness.planned,
            "late_set_aside": self.lateness.set_aside,
            "late_all_taken": self.lateness.all_taken,
            "late_keys_set_aside": self.lateness.keys_set_aside,
            "late_wrongly_taken": self.lateness.wrongly_taken,
            "late_wrongly_set_aside": self.lateness.wrongly_set_aside,
            "dead_letters": self.dead_letters,
        }

    def notes(self) -> list[str]:
        """Keys compared of each view, and the first findings."""
        said = [f"{view.view}: {view.compared} keys, {len(view.mismatches)} columns" for view in self.views]
        for view in self.views:
            said += [f"{view.view} {'/'.join(x.key)} {x.kind} {x.feature}: {x.online} | {x.lake}" for x in view.examples[:5]]
        return said + self.oracle.examples


def gather(settings: Settings, sent: Sequence[Sent], folder: Path, sample: int) -> Evidence:
    """The evidence. Call it once the worker has drained and no row changes any more. Raises DependencyUnavailable."""
    at = committed(settings)
    late: dict[str, Collection[LateKey]] = {view: late_events(settings, topic) for view, topic in TOPIC_OF.items()}
    late_by_kind = {topic.kind: late[view] for view, topic in TOPIC_OF.items()}
    online = _rows(settings, sent)
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    return Evidence(
        views=batch.compared(settings, sent, online, at, late, folder),
        oracle=oracle.check(sent, online, late_by_kind, calendars, sample),
        lateness=account(sent, late_by_kind, settings.allowed_lateness_ms),
        unread=len(sent) - sum(at.values()),
        dead_letters=sum(1 for _ in find(settings)),
    )


def _rows(settings: Settings, sent: Sequence[Sent]) -> dict[str, Mapping[Key, Row]]:
    """The online rows of the views that have any, or should."""
    kinds = {one.topic.kind for one in sent}
    online = open_online_store(settings.model_copy(update={"online_read_timeout_ms": ONLINE_TIMEOUT_MS}))
    try:
        rows = {view: online_rows(online, view, Sample()) for view in TOPIC_OF}
    finally:
        online.close()
    return {view: found for view, found in rows.items() if found or TOPIC_OF[view].kind in kinds}
