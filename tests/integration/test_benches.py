"""A bench in its quick form, on real servers: it measures, its rows are right, and it leaves nothing behind."""

from __future__ import annotations

import pytest

from contracts.settings import Settings
from streams.broker import connect
from tests import ground
from tests.bench import stream

pytestmark = pytest.mark.stack


def test_the_stream_bench_measures_and_leaves_nothing(settings: Settings) -> None:
    said: list[str] = []
    outcome = stream.run(settings, data=None, lines=None, runs=1, say=said.append, quick=True, with_quix=False)
    assert outcome.held, outcome.notes
    assert outcome.figures["rows_checked"] > 0
    assert {run["contestant"] for run in outcome.runs} == {"worker", "bare_loop"}
    assert all(run["lines_per_second"] > 0 for run in outcome.runs)
    assert not [name for name in connect(settings).list_topics(timeout=10).topics if ground.PREFIX in name]
    assert not list((settings.home / "data" / "streams").glob(f"*{ground.PREFIX}*"))
    assert not list((settings.home / "logs").glob(f"{ground.PREFIX}*"))
