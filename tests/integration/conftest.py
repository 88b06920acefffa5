"""What several tests of the stream share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from contracts.settings import Settings
from featurestore.online import OnlineStore
from tests.stream_worker import apart, opened


@pytest.fixture
def fresh(settings: Settings) -> Settings:
    """Topics of one test alone."""
    return apart(settings)


@pytest.fixture
def fresh_online(fresh: Settings) -> Iterator[OnlineStore]:
    """The online rows of a worker on fresh topics."""
    with opened(fresh) as store:
        yield store
