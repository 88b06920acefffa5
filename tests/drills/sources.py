"""What a drill sends: the receipts of a data set, or what happens in a simulated retailer's stores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from contracts.clock import Clock, system_clock
from contracts.events import Event
from contracts.settings import Settings
from contracts.topics import SALES, Topic
from contracts.windows import DAY_MS, StoreCalendars
from streams.producers.replay import ReplayReport, replay
from streams.producers.retailer import Retailer
from streams.producers.simulate import history
from tests.drills.arrival import lines_of

DAYS = 40  # longer than the longest window
LINES_A_STORE = 7_200  # receipt lines of a simulated store in DAYS days, roughly


def events_of(settings: Settings, data: Path | None, lines: int | None, seed: int) -> list[tuple[Topic, Event]]:
    """The events in the order of their times, from a data set where one is given; about `lines` receipt lines of them."""
    if data is not None:
        return list(first_lines(((SALES, receipt) for receipt in replay(data, ReplayReport())), lines))
    return list(simulated(settings, lines or 100_000, seed))


def simulated(settings: Settings, lines: int, seed: int, clock: Clock = system_clock) -> Iterator[tuple[Topic, Event]]:
    """Forty whole days of receipts, stock events and prices that ended a week ago, so that no wall clock comes in."""
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    chain = calendars.of("")
    today = chain.day(clock() - 7 * DAY_MS)
    stores = max(2, round(lines / LINES_A_STORE))
    scale = min(1.0, lines / (stores * LINES_A_STORE))
    retailer = Retailer.create(seed, stores, 25)
    happened = history(retailer, calendars, chain.day_start(today - DAYS), chain.day_start(today), scale)
    return ((timed.topic, timed.event) for timed in happened)


def first_lines(events: Iterable[tuple[Topic, Event]], lines: int | None) -> Iterator[tuple[Topic, Event]]:
    """The events up to the receipt that completes so many receipt lines; all where no number is given."""
    taken = 0
    for topic, event in events:
        yield topic, event
        taken += lines_of(event) if topic is SALES else 0
        if lines is not None and taken >= lines:
            return
