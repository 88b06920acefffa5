"""What the stream worker's stored states are tied to: a worker of another layout, catalogue or time zone never reads them.

A fingerprint is part of the name of a view's state table, and so of its changelog and its local files, and of the consumer
group: a worker of another version finds neither states nor offsets, and builds everything anew from the topics. They keep
events for 30 days, longer than the longest window.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from contracts.aggregates import SALES_VALUES
from contracts.features import FEATURES, STATEFUL, View
from contracts.settings import Settings
from contracts.windows import SAME_HOUR_WEEKS, WINDOWS

# By source. Raise it with every change of what a kernel stores, or of what it means, that the catalogue does not show.
STATE_LAYOUT = {"sales": 4, "inventory": 1, "prices": 1}
SHOWN_DIGITS = 8


def state_fingerprint(source: str) -> str:
    """8 hexadecimal digits of the states kept from one source: they change with their layout and with each feature from them."""
    views = {view.name for view in STATEFUL if view.source == source}
    features = [asdict(feature) for feature in FEATURES if feature.view in views]
    return _digits(
        {
            "layout": STATE_LAYOUT[source],
            "features": [{k: v for k, v in f.items() if k not in ("default", "why", "owner", "unit")} for f in features],
            "windows": {name: [window.hop.name, window.hops] for name, window in WINDOWS.items()},
            "weeks_of_same_hour": SAME_HOUR_WEEKS,
            "values": SALES_VALUES,
        }
    )


def group_fingerprint(settings: Settings) -> str:
    """8 hexadecimal digits that change with the states of any source, and with what a store's local day is."""
    zones = {"": settings.time_zone, **settings.store_time_zones}
    return _digits({"zones": zones, **{source: state_fingerprint(source) for source in STATE_LAYOUT}})


def worker_group(settings: Settings) -> str:
    """The consumer group of the stream worker: its committed offsets say what the online rows hold."""
    return f"{any_worker_group(settings)}-{group_fingerprint(settings)}"


def any_worker_group(settings: Settings) -> str:
    """What the group of a worker of any version begins with, and so the topics of its states."""
    return f"{settings.topic_prefix}rd360-streams"


def state_table(view: View) -> str:
    """The table of a view's states."""
    return f"{view.name}-states-{state_fingerprint(view.source)}"


def _digits(spec: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:SHOWN_DIGITS]
