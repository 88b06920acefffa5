"""A worker that would reject nearly everything stops, and leaves what it did not set aside where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.settings import Settings
from contracts.topics import SALES
from streams.lag import drain, lag
from streams.producers.publish import Publisher
from tests.stream_worker import apart, by_reason, worker

pytestmark = pytest.mark.stack


def test_a_topic_of_another_format_ends_the_worker_before_it_is_drained_into_the_dead_letters(
    settings: Settings, tmp_path: Path
) -> None:
    own = apart(settings)
    with Publisher(own) as publisher:
        for number in range(5_000):
            publisher.send(SALES.name(own.topic_prefix), f"s-{number % 7}".encode(), b'{"receipt": %d}' % number)
    with worker(own, tmp_path / "worker.log", RD360_DEAD_LETTER_WINDOW="2000") as one:
        assert one.process is not None
        assert one.process.wait(90) == 5
        for said in ("contract", SALES.name(own.topic_prefix), "RD360_DEAD_LETTER_SHARE"):
            assert said in one.log()
        assert "Traceback" not in one.log()
    left = sum(x.behind for x in lag(own))
    assert left > 2_000
    assert sum(by_reason(own).values()) <= 5_000 - left + 2_000, "some may be set aside and not acknowledged"
    with worker(own, tmp_path / "again.log", RD360_DEAD_LETTER_SHARE="1") as one:
        one.ready()
        drain(own, 90, lambda _: None)
        assert one.stop() == 0
    assert by_reason(own).keys() == {"contract"}
