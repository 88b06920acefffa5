"""Whether what a worker has written is what a reader gets: a sample of rows, read by Feast's own client, held to the oracle."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.events import encode
from contracts.features import AS_OF, SALES_ROLLING, SOURCE_OFFSET
from contracts.settings import Settings
from contracts.windows import StoreCalendars
from featurestore.online import OnlineStore
from tests.bench.receipts import Filled, Key, Placed
from tests.oracles.rolling import sales_rolling


def wrong_rows(settings: Settings, store: OnlineStore, filled: Filled) -> list[str]:
    """What is wrong with each wrong row of the sample, nothing where all are right."""
    calendars = StoreCalendars(settings.time_zone, settings.store_time_zones)
    keys = list(filled.sample)
    found = store.read(SALES_ROLLING.name, keys)
    faults = [(key, fault_of(key, row, filled.sample[key], calendars.zone(key[0]))) for key, row in zip(keys, found, strict=True)]
    return [f"{key}: {fault}" for key, fault in faults if fault]


def fault_of(key: Key, row: Mapping[str, Any] | None, placed: Sequence[Placed], zone: str) -> str | None:
    """What is wrong with the row of a key, given its receipts in the order they were sent; None where it is right.

    It must hold the last of them and stand at its time, or later where time alone has moved it on, and every feature must be
    what the oracle says as of that time.
    """
    if row is None:
        return "no row"
    latest = max(one.receipt.event_time for one in placed)
    if row[SOURCE_OFFSET] != placed[-1].offset:
        return f"{SOURCE_OFFSET} is {row[SOURCE_OFFSET]}, the last receipt's is {placed[-1].offset}"
    if row[AS_OF] < latest:
        return f"{AS_OF} is {row[AS_OF]}, before the last sale at {latest}"
    expected = sales_rolling([json.loads(encode(one.receipt)) for one in placed], *key, row[AS_OF], zone)
    different = [name for name, value in expected.items() if row[name] != value]
    return f"as of {row[AS_OF]} not what the oracle says: {', '.join(different)}" if different else None
