"""Heals the online features of keys with late events: their states are made anew from the archive and handed to the worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.sql import SparkSession

from contracts.settings import Settings
from lake import archived, stream_position
from lake.jobs.parity import take_in
from streams import rebuild as handover
from streams.kernels import kernels
from streams.key_table import Key
from streams.rebuilt import Rebuilder
from streams.views import Kernel

ROUNDS = 5  # a key moves on only where an event came while it was made anew


@dataclass(slots=True)
class ViewRebuild:
    """One view: keys that had late events, how many were healed, and those that kept moving on."""

    view: str
    late_events: int = 0
    keys: int = 0
    healed: int = 0
    moved_on: list[Key] = field(default_factory=list)
    seconds: float = 0.0


def rebuild(
    session: SparkSession, settings: Settings, views: Sequence[str], timeout: float, note: Callable[[str], None]
) -> list[ViewRebuild]:
    """What became of each view's late events. The archive takes in the topics first. Raises DependencyUnavailable."""
    take_in(session, settings, stream_position.committed(settings))
    return [heal(session, settings, kernel, timeout, note) for kernel in kernels(settings) if kernel.view.name in views]


def heal(session: SparkSession, settings: Settings, kernel: Kernel, timeout: float, note: Callable[[str], None]) -> ViewRebuild:
    """What became of one view's late events, from the archive as it is. Raises DependencyUnavailable where no worker answers."""
    started = time.monotonic()
    late = stream_position.late_events(settings, kernel.topic)
    keys = {(store_id, product_id) for _, _, store_id, product_id in late}
    found = ViewRebuild(kernel.view.name, len(late), len(keys))
    for _ in range(ROUNDS):
        if not keys:
            break
        note(f"{kernel.view.name}: {len(keys)} keys are made anew")
        outcome = handover.hand_over(settings, kernel, _states(session, settings, kernel, keys), timeout)
        found.healed += outcome.healed
        keys = set(outcome.moved_on)
    found.moved_on, found.seconds = sorted(keys), time.monotonic() - started
    return found


def _states(session: SparkSession, settings: Settings, kernel: Kernel, keys: set[Key]) -> Iterable[tuple[Key, bytes]]:
    """Each key with its state, from what the archive has and what Kafka has beyond it."""
    archive_end = archived.next_offsets(session, settings, kernel.topic)
    parts: dict[Key, list[Any]] = {key: [] for key in keys}
    for key, event in archived.events(session, settings, kernel.topic, keys):
        parts[key] += [part for of, part in kernel.split(event) if of == key]
    tail = handover.tail(settings, kernel, keys, archive_end)
    for told in tail.told:
        parts[told.key].append(told.part)
    rebuilder = Rebuilder(settings, kernel.view)
    for key, of_key in parts.items():
        number = handover.partition_of_key(kernel.topic, key, settings)
        yield key, rebuilder.state(key, of_key, tail.next_offsets.get(number, 0))
