"""What every FillMarks promises: one suite for the fake and for Redis or Valkey."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from contracts.errors import DependencyUnavailable
from contracts.settings import load_settings
from featurestore.fill import FillMarks, open_fill_marks
from tests.fakes import FakeFillMarks

HERE, THERE = ("stock", 0), ("stock", 1)


@pytest.fixture(params=["fake", pytest.param("redis", marks=pytest.mark.stack)])
def marks(request: pytest.FixtureRequest) -> Iterator[FillMarks]:
    if request.param == "fake":
        yield FakeFillMarks()
        return
    own = request.getfixturevalue("settings").model_copy(update={"topic_prefix": f"test-{uuid.uuid4().hex}-"})
    opened = open_fill_marks(own)
    yield opened
    opened.clear()


def test_what_was_filled_is_marked_with_its_run_and_its_rows(marks: FillMarks) -> None:
    assert marks.read().lacks(HERE)
    assert marks.finish(HERE, marks.begin(HERE), 7)
    filled = marks.read()
    assert not filled.lacks(HERE)
    assert filled.lacks(THERE)
    assert filled.marks[HERE].rows == 7
    assert filled.marks[HERE].run_id == filled.run_id


def test_a_partition_that_is_being_filled_lacks_rows(marks: FillMarks) -> None:
    marks.finish(HERE, marks.begin(HERE), 7)
    marks.begin(HERE)
    assert marks.read().lacks(HERE)


def test_what_was_emptied_meanwhile_is_not_marked(marks: FillMarks) -> None:
    token = marks.begin(HERE)
    marks.clear()
    assert not marks.finish(HERE, token, 7)
    assert marks.read().lacks(HERE)


def test_who_began_last_may_finish(marks: FillMarks) -> None:
    first, second = marks.begin(HERE), marks.begin(HERE)
    assert not marks.finish(HERE, first, 1)
    assert marks.finish(HERE, second, 2)
    assert marks.read().marks[HERE].rows == 2


def test_partitions_do_not_touch_each_other(marks: FillMarks) -> None:
    here, there = marks.begin(HERE), marks.begin(THERE)
    assert marks.finish(THERE, there, 1)
    assert marks.finish(HERE, here, 2)
    assert {place: mark.rows for place, mark in marks.read().marks.items()} == {HERE: 2, THERE: 1}


def test_after_a_restart_everything_is_filled_again() -> None:
    marks = FakeFillMarks()
    marks.finish(HERE, marks.begin(HERE), 7)
    token = marks.begin(THERE)
    marks.restart()
    assert marks.read().lacks(HERE)
    assert not marks.finish(THERE, token, 1)


@pytest.mark.parametrize("marks", [pytest.param("redis", marks=pytest.mark.stack)], indirect=True)
def test_where_the_catalogue_is_another_everything_is_filled_again(marks: FillMarks, monkeypatch: pytest.MonkeyPatch) -> None:
    marks.finish(HERE, marks.begin(HERE), 7)
    monkeypatch.setattr("featurestore.fill.CATALOGUE_FINGERPRINT", "0123456789abcdef")
    assert marks.read().lacks(HERE)


def test_a_server_that_is_not_there_is_a_dependency_unavailable() -> None:
    marks = open_fill_marks(load_settings(redis_address="127.0.0.1:1"))
    for ask in (marks.read, marks.clear, lambda: marks.begin(HERE)):
        with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1"):
            ask()
