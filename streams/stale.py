"""What workers of other versions have left: their state changelogs, their consumer groups, their local files.

A group's name ends with the fingerprint of its states, so whatever belongs to another one is left over, unless it still runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from contracts.settings import Settings
from contracts.stream_states import any_worker_group
from streams import names
from streams.broker import TIMEOUT_SECONDS, connect, unavailable


@dataclass(frozen=True, slots=True)
class Stale:
    """One thing that is left over. `in_use`: a worker of its group is running, so it stays."""

    kind: Literal["topic", "group", "folder"]
    name: str
    in_use: bool


def state_folder(settings: Settings, group: str) -> Path:
    """Where the workers of a group keep their local states."""
    return settings.home / "data" / "streams" / group


def is_left_over(settings: Settings, name: str) -> bool:
    """Whether a topic, group or folder is that of a worker of this platform, but of another version."""
    ours, current = any_worker_group(settings), names.group(settings)
    belongs = name == ours or name.startswith(f"{ours}-")
    return belongs and name != current and not name.startswith(f"{current}-")


def find_stale(settings: Settings) -> list[Stale]:
    """What other versions have left, topics first. Raises DependencyUnavailable."""
    admin = connect(settings)
    try:
        topics = [name for name in admin.list_topics(timeout=TIMEOUT_SECONDS).topics if is_left_over(settings, name)]
        listed = admin.list_consumer_groups(request_timeout=TIMEOUT_SECONDS).result().valid
        groups = [group.group_id for group in listed if is_left_over(settings, group.group_id)]
        running = _running(admin, groups)
    except KafkaException as error:
        raise unavailable(settings, "looking for what other versions left", error) from error
    folder = state_folder(settings, "")
    folders = [path.name for path in folder.iterdir() if is_left_over(settings, path.name)] if folder.exists() else []
    return (
        [Stale("topic", name, any(name.startswith(f"{group}-") for group in running)) for name in sorted(topics)]
        + [Stale("group", name, name in running) for name in sorted(groups)]
        + [Stale("folder", name, name in running) for name in sorted(folders)]
    )


def remove(settings: Settings, found: Iterable[Stale]) -> list[Stale]:
    """Deletes what is not in use; what was deleted. Raises DependencyUnavailable."""
    gone = [stale for stale in found if not stale.in_use]
    by_kind: dict[str, list[str]] = {"topic": [], "group": [], "folder": []}
    for stale in gone:
        by_kind[stale.kind].append(stale.name)
    admin = connect(settings)
    try:
        if by_kind["topic"]:
            for future in admin.delete_topics(by_kind["topic"], operation_timeout=TIMEOUT_SECONDS).values():
                future.result()
        if by_kind["group"]:
            for future in admin.delete_consumer_groups(by_kind["group"], request_timeout=TIMEOUT_SECONDS).values():
                future.result()
    except KafkaException as error:
        raise unavailable(settings, "deleting what other versions left", error) from error
    for name in by_kind["folder"]:
        shutil.rmtree(state_folder(settings, name))
    return gone


def _running(admin: AdminClient, groups: list[str]) -> set[str]:
    if not groups:
        return set()
    described = admin.describe_consumer_groups(groups, request_timeout=TIMEOUT_SECONDS)
    return {name for name, future in described.items() if future.result().members}
