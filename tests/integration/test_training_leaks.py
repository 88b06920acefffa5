"""From messages on Kafka to rows that models learn from, on real servers: what comes after an as-of time changes none of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from contracts.settings import Settings
from contracts.windows import StoreCalendars
from featurestore.offline import OfflineStore, open_offline_store
from featurestore.registry import apply
from lake.jobs import run as line
from streams.declare import declare
from tests.another_future import CUT_MS, another_future, the_past_and_its_future
from tests.lake_world import NEW_YORK, Event, World, accepted
from tests.own_lake import own_lake
from training.frame import answer, read_daily
from training.questions import Bounds, Questions, training_questions
from training.rows import Daily, Rows

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class OwnOffline:
    """The port on a lake that is no one else's: Feast joins in its session, and its plain tables are read there too."""

    session: SparkSession
    feast: OfflineStore

    def point_in_time(self, questions: pa.Table, views: Sequence[str]) -> pa.Table:
        return self.feast.point_in_time(questions, views)

    def read_table(self, name: str, columns: Sequence[str], row_filter: str) -> pa.Table:
        return self.session.table(name).where(row_filter).select(*columns).toArrow()


@dataclass(frozen=True, slots=True)
class Learnt:
    """The rows of the same questions, made of one of the two histories."""

    daily: Daily
    questions: Questions
    rows: Rows


def learnt(settings: Settings, home: Path, events: Sequence[Event], questions: Questions | None = None) -> Learnt:
    """Sends the events, runs the whole line, and asks Feast; where no questions are given, all that training could draw.

    `home` takes the checkpoint.
    """
    home.mkdir()
    tag = uuid.uuid4().hex[:8]
    apart = {"home": home, "topic_prefix": f"leaks-{tag}.", "store_time_zones": {NEW_YORK: "America/New_York"}}
    own = settings.model_copy(update=apart)
    declare(own)
    World().send(own, [accepted(event) for event in events])
    with own_lake(settings, f"leaks_{tag}") as session:
        list(line.run(session, own))
        apply(own)
        offline = OwnOffline(session, open_offline_store(own))
        calendars = StoreCalendars(own.time_zone, own.store_time_zones)
        daily = read_daily(offline)
        asked = questions or training_questions(daily, calendars, own.snapshot_hours, Bounds())
        return Learnt(daily, asked, answer(offline, calendars, asked, daily))


def test_no_training_row_changes_with_what_happens_after_its_as_of_time(settings: Settings, tmp_path: Path) -> None:
    events = the_past_and_its_future()
    known = learnt(settings, tmp_path / "known", events)
    planted = learnt(settings, tmp_path / "planted", another_future(events), known.questions)

    early = known.rows.as_of <= CUT_MS
    within_the_day = early & (known.rows.as_of_day == known.rows.as_of_day[early].max())
    same = np.all((known.rows.x == planted.rows.x) | (np.isnan(known.rows.x) & np.isnan(planted.rows.x)), axis=1)
    assert early.sum() > 500
    assert within_the_day.any()
    assert same[early].all()
    assert not same[~early].any()

    over = early & (known.rows.target_day < known.rows.as_of_day[early].max())  # the target day was over before the cut
    assert over.any()
    assert np.array_equal(known.rows.target[over], planted.rows.target[over])
    assert not np.array_equal(known.rows.target[~over], planted.rows.target[~over])
