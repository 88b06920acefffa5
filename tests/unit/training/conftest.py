"""One small world and its frame, built once: three stores, eight products, ninety days."""

from __future__ import annotations

import pytest

from contracts.windows import StoreCalendars
from tests.retail_world import HOURS, FakeOfflineStore, make_world
from training.frame import Frame, build_frame
from training.questions import Bounds

SMALL = Bounds(training_rows=6_000, judged_rows=3_000)


@pytest.fixture(scope="session")
def world() -> FakeOfflineStore:
    """The tables of the world."""
    return make_world(stores=3, products=8, days=90)


@pytest.fixture(scope="session")
def frame(world: FakeOfflineStore) -> Frame:
    """What a training run sees of it."""
    return build_frame(world, StoreCalendars("UTC"), HOURS, SMALL)
