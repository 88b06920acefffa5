"""Which rows a frame has: as-of times on the snapshot grid and target days, a bounded sample of them with a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from contracts.windows import StoreCalendars
from training.rows import HORIZON, Daily, Flags, Ints, Names
from training.split import Plan, snapshot_instants

WARM_UP_DAYS = 14  # of a series: before them, its four-week windows are mostly empty for a reason that passes


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a frame may get. All draws follow from the seed."""

    training_rows: int = 40_000
    judged_rows: int = 40_000  # of all origins together
    targets_per_question: int = (
        4  # target days drawn for an as-of time, today among them: a spread over times beats one over days
    )
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Questions:
    """One row per store × product × as-of time × target day."""

    store: Names
    product: Names
    as_of: Ints
    as_of_day: Ints
    target_day: Ints

    def __len__(self) -> int:
        return len(self.store)

    def where(self, mask: Flags) -> Questions:
        """The questions on which the mask is true."""
        return Questions(**{field.name: getattr(self, field.name)[mask] for field in fields(self)})


def training_questions(daily: Daily, calendars: StoreCalendars, hours: Sequence[int], bounds: Bounds) -> Questions:
    """A sample over all series, days and grid hours: today and some of the days after it, whose demand is known."""
    eligible = np.flatnonzero(_age(daily) >= WARM_UP_DAYS)
    random = np.random.default_rng(bounds.seed)
    grid = len(eligible) * len(hours)
    wanted = min(grid, max(1, bounds.training_rows // bounds.targets_per_question))
    drawn = np.sort(random.choice(grid, size=wanted, replace=False, shuffle=False))
    at, hour = eligible[drawn // len(hours)], drawn % len(hours)
    later = random.permuted(np.tile(np.arange(1, HORIZON), (wanted, 1)), axis=1)[:, : bounds.targets_per_question - 1]
    ahead = np.concatenate([np.zeros((wanted, 1), dtype=np.int64), np.sort(later, axis=1)], axis=1)
    questions = _expand(daily, at, hour, ahead, calendars, hours)
    return questions.where(questions.target_day <= int(np.max(daily.day)))


def judged_questions(daily: Daily, calendars: StoreCalendars, hours: Sequence[int], plan: Plan, bounds: Bounds) -> Questions:
    """Every grid hour of each origin's day and every day of the horizon, of all series on sale or a sample of them."""
    at = np.flatnonzero(np.isin(daily.day, plan.origins))
    per_series = len(hours) * plan.horizon
    if len(at) * per_series > bounds.judged_rows:
        random = np.random.default_rng(bounds.seed + 1)
        at = np.sort(random.choice(at, size=max(1, bounds.judged_rows // per_series), replace=False))
    at, hour = np.repeat(at, len(hours)), np.tile(np.arange(len(hours)), len(at))
    ahead = np.tile(np.arange(plan.horizon), (len(at), 1))
    return _expand(daily, at, hour, ahead, calendars, hours)


def coming_questions(store: Names, product: Names, as_of: Ints, calendars: StoreCalendars) -> Questions:
    """Today and the rest of the horizon for each series, as of an instant of its own."""
    day = np.array([calendars.of(s).day(t) for s, t in zip(store.tolist(), as_of.tolist(), strict=True)], dtype=np.int64)
    ahead = np.tile(np.arange(HORIZON), (len(store), 1))
    return _with_targets(store, product, as_of, day, ahead)


def _age(daily: Daily) -> Ints:
    """Days since each row's series was first on sale."""
    age = np.zeros(len(daily), dtype=np.int64)
    for at in daily.series().values():
        age[at] = daily.day[at] - daily.day[at.start]
    return age


def _expand(daily: Daily, at: Ints, hour: Ints, ahead: Ints, calendars: StoreCalendars, hours: Sequence[int]) -> Questions:
    """`at` and `hour` have one value per as-of time, `ahead` a row of days ahead for each."""
    instants: dict[tuple[str, int], list[int]] = {}
    as_of = np.empty(len(at), dtype=np.int64)
    for place, (store, day, which) in enumerate(
        zip(daily.store[at].tolist(), daily.day[at].tolist(), hour.tolist(), strict=True)
    ):
        zone = calendars.zone(store)
        if (zone, day) not in instants:
            instants[zone, day] = snapshot_instants(calendars.of(store), day, hours)
        as_of[place] = instants[zone, day][which]
    return _with_targets(daily.store[at], daily.product[at], as_of, daily.day[at], ahead)


def _with_targets(store: Names, product: Names, as_of: Ints, day: Ints, ahead: Ints) -> Questions:
    """Each as-of time once for every day of its row of `ahead`."""
    width = ahead.shape[1]
    return Questions(
        store=np.repeat(store, width),
        product=np.repeat(product, width),
        as_of=np.repeat(as_of, width),
        as_of_day=np.repeat(day, width),
        target_day=np.repeat(day, width) + ahead.ravel(),
    )
