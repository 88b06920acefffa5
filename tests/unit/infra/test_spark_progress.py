"""The line of a job's progress: what it says, where it is silent, and that it never stands in a job's way."""

from __future__ import annotations

import io
import sys
import threading
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from infra.cli.console import note
from infra.cli.spark_progress import Moment, line, shown
from tests.waiting import until

Stream = TypeVar("Stream", bound=io.StringIO)
REWRITE = "\r\x1b[2K"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Asked:
    """A session of two stages at work, one of which ended before it was looked at; it counts how often it was asked."""

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.times = fails, 0
        self.sparkContext = SimpleNamespace(statusTracker=lambda: self)
        self.conf = SimpleNamespace(get=lambda *_: "lake.silver.sales")

    def getActiveStageIds(self) -> list[int]:  # noqa: N802  # Spark's name
        self.times += 1
        if self.fails:
            raise ConnectionError("the JVM is gone")
        return [4, 5]

    def getStageInfo(self, number: int) -> Any:  # noqa: N802  # Spark's name
        return SimpleNamespace(numCompletedTasks=3, numTasks=8) if number == 4 else None


@pytest.mark.parametrize(
    ("moment", "columns", "text"),
    [
        (Moment("silver", "lake.silver.sales", 3, 8, 12.4), 80, "silver: lake.silver.sales, 3/8 tasks, 12 s"),
        (Moment("silver", "", 0, 0, 0.6), 80, "silver, 1 s"),
        (Moment("silver", "lake.silver.sales", 3, 8, 12.4), 20, "silver: lake.silver…"),
    ],
)
def test_the_line_says_job_step_tasks_and_seconds_within_the_terminal(moment: Moment, columns: int, text: str) -> None:
    assert line(moment, columns) == text
    assert len(text) <= columns


def on(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> Stream:
    """Makes the stream stderr. Not in a fixture: pytest puts its own in place before the test begins."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr("infra.cli.spark_progress.POLL_SECONDS", 0.01)
    return stream


def test_on_a_terminal_the_line_is_rewritten_and_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on(Terminal(), monkeypatch)
    session: Any = Asked()
    with shown(session, "silver", quiet=False):
        until(lambda: terminal.getvalue().count("3/8 tasks") > 1, seconds=20)
        note("a note")
    written = terminal.getvalue()

    assert f"{REWRITE}silver: lake.silver.sales, 3/8 tasks, 0 s" in written
    assert f"{REWRITE}a note\n" in written
    assert written.endswith((REWRITE, "a note\n"))
    assert written.count("\n") == 1


@pytest.mark.parametrize("why", ["no terminal", "quiet", "CI"])
def test_where_nobody_looks_nothing_is_asked_or_written(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    stream = on(io.StringIO() if why == "no terminal" else Terminal(), monkeypatch)
    if why == "CI":
        monkeypatch.setenv("CI", "true")
    session: Any = Asked()
    with shown(session, "silver", quiet=why == "quiet"):
        asking = [thread.name for thread in threading.enumerate() if thread.name == "progress"]

    assert (asking, session.times, stream.getvalue()) == ([], 0, "")


def test_a_session_that_does_not_answer_ends_the_line_and_not_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on(Terminal(), monkeypatch)
    session: Any = Asked(fails=True)
    with shown(session, "silver", quiet=False):
        until(lambda: session.times, seconds=20)
    assert (session.times, terminal.getvalue()) == (1, "")


def test_a_job_that_fails_fails_as_without_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    on(Terminal(), monkeypatch)
    session: Any = Asked()
    with pytest.raises(ValueError, match="of the job"), shown(session, "silver", quiet=False):
        raise ValueError("of the job")
