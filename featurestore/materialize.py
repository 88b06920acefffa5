"""The batch views' latest rows from the lake to the online store, by Feast's own materialization."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
from collections.abc import Sequence

from contracts.clock import EpochMs
from contracts.errors import UsageError
from contracts.events import EARLIEST_EVENT_MS
from contracts.features import VIEWS
from contracts.settings import Settings
from featurestore.online import OnlineStore
from featurestore.registry import require_catalogue
from featurestore.spark_session import feast_in, lake_session

BATCH_VIEWS = tuple(name for name, view in VIEWS.items() if view.writer == "batch")


def materialize(settings: Settings, views: Sequence[str], now: EpochMs) -> None:
    """Writes the latest row at or before `now` of every key of some batch views online.

    Feast takes columns with nulls through floats: their integers are exact to 2^53. No batch feature comes near; parity looks.
    Raises UsageError for a view of the stream, whose online rows belong to its worker; ConfigurationError where the registry does
    not have the catalogue; NotFoundError where the lake has no such table; DependencyUnavailable.
    """
    refused = [name for name in views if name not in BATCH_VIEWS]
    if refused:
        raise UsageError(
            f"{', '.join(refused)} cannot be materialized",
            doing="choosing the views",
            hint=f"The stream worker keeps the online rows of its views. Batch views are {', '.join(BATCH_VIEWS)}.",
        )
    store = require_catalogue(settings, views)
    session, started = lake_session(settings)
    try:
        with feast_in(session, "materializing features"), contextlib.redirect_stdout(sys.stderr):  # Feast prints its progress
            store.materialize(_instant(EARLIEST_EVENT_MS), _instant(now), feature_views=list(views))
    finally:
        if started:
            session.stop()


def online_rows(online: OnlineStore, view: str) -> int:
    """How many rows of a view are online."""
    return sum(1 for _ in online.scan(view))


def _instant(time_ms: EpochMs) -> dt.datetime:
    return dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC)
