"""Where a drill takes place: topics, a consumer group and online rows of its own, and a folder; all gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contracts.settings import Settings
from tests import ground as shared


@dataclass(frozen=True, slots=True)
class Ground:
    """Settings with a topic prefix of their own, and a folder for logs, workers' states and what was sent."""

    settings: Settings
    folder: Path


@contextlib.contextmanager
def ground(settings: Settings) -> Iterator[Ground]:
    """A ground on running servers. Raises DependencyUnavailable without them."""
    with shared.ground(settings) as own:
        folder = own.home / "data" / "drills" / own.topic_prefix.strip(".")
        folder.mkdir(parents=True)
        try:
            yield Ground(own, folder)
        finally:
            shutil.rmtree(folder)
