"""How a training run is put together from settings and options: candidates, bounds, ports. Imports training libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from contracts.settings import Settings
from contracts.windows import StoreCalendars
from featurestore.offline import OfflineStore, open_offline_store
from training.frame import Frame, build_frame
from training.models.base import Candidate
from training.questions import Bounds


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may choose."""

    rows: int
    origins: int
    prophet_series: int
    seed: int


def candidates(options: Options) -> list[Candidate]:
    """Those that a run compares. Without series for it, Prophet does not take part."""
    from training.models.naive import SeasonalNaive
    from training.models.xgboost import XGBoostQuantiles

    chosen: list[Candidate] = [SeasonalNaive(), XGBoostQuantiles.seeded(options.seed)]
    if options.prophet_series:
        from training.models.prophet import ProphetPerSeries

        chosen.append(ProphetPerSeries(max_series=options.prophet_series, seed=options.seed))
    return chosen


def make_frame(settings: Settings, options: Options, progress: Callable[[str], None]) -> Frame:
    """The frame of what the lake has now."""
    progress("joining features as of past instants")
    with offline_store(settings) as offline:
        bounds = Bounds(training_rows=options.rows, judged_rows=options.rows, seed=options.seed)
        frame = build_frame(offline, calendars(settings), settings.snapshot_hours, bounds, options.origins)
    progress(f"{len(frame.sampled):,} rows to learn from, {len(frame.judged):,} to be judged on")
    return frame


@contextmanager
def offline_store(settings: Settings) -> Iterator[OfflineStore]:
    """The offline store, closed at the end."""
    offline = open_offline_store(settings)
    try:
        yield offline
    finally:
        offline.close()


def calendars(settings: Settings) -> StoreCalendars:
    """The calendar of each store."""
    return StoreCalendars(settings.time_zone, settings.store_time_zones)
