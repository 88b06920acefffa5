"""How far a Spark job is, as one line on the terminal that is rewritten while it runs; nothing where nobody looks at one."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.cli.console import status

if TYPE_CHECKING:  # Spark is imported by the command that needs it: the help must be quick
    from pyspark.sql import SparkSession

POLL_SECONDS = 0.5
JOIN_SECONDS = 2.0  # a question to a JVM that hangs must not keep the command


@dataclass(frozen=True, slots=True)
class Moment:
    """A job as it is: its step, tasks done and all tasks of the stages at work, seconds since it began."""

    job: str
    step: str
    tasks_done: int
    tasks: int
    seconds: float


def line(moment: Moment, columns: int) -> str:
    """The moment in at most so many columns, such as "silver: lake.silver.sales, 3/8 tasks, 12 s"."""
    doing = f"{moment.job}: {moment.step}" if moment.step else moment.job
    tasks = f", {moment.tasks_done}/{moment.tasks} tasks" if moment.tasks else ""
    text = f"{doing}{tasks}, {moment.seconds:.0f} s"
    return text if len(text) <= columns else f"{text[: columns - 1]}…"


@contextmanager
def shown(session: SparkSession, job: str, *, quiet: bool) -> Iterator[None]:
    """Shows the progress of the block, if stderr is a terminal. Whatever becomes of the line, the job goes on."""
    if quiet or not sys.stderr.isatty() or "CI" in os.environ:  # some CI systems give their jobs a terminal
        yield
        return
    ended = threading.Event()
    poller = threading.Thread(target=_poll, args=(session, job, ended), name="progress", daemon=True)
    poller.start()
    try:
        yield
    finally:
        ended.set()
        poller.join(JOIN_SECONDS)
        status("")


def _poll(session: SparkSession, job: str, ended: threading.Event) -> None:
    started = time.monotonic()
    while not ended.wait(POLL_SECONDS):
        try:
            text = line(_moment(session, job, time.monotonic() - started), shutil.get_terminal_size().columns)
        except Exception:  # noqa: BLE001  # py4j raises whatever a JVM that ends makes of a question; the line just stays away
            return
        if not ended.is_set():
            status(text)


def _moment(session: SparkSession, job: str, seconds: float) -> Moment:
    from lake import steps

    tracker = session.sparkContext.statusTracker()
    stages = [stage for number in tracker.getActiveStageIds() if (stage := tracker.getStageInfo(number)) is not None]
    done, tasks = (sum(getattr(stage, name) for stage in stages) for name in ("numCompletedTasks", "numTasks"))
    return Moment(job, steps.current(session), done, tasks, seconds)
