"""The store-local day in Spark: the same days as `contracts.windows.Calendar`, as column expressions."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as sf

from contracts.settings import Settings


def zone_of(store_id: Column, settings: Settings) -> Column:
    """The IANA zone of a store: its own where the settings name one, else the chain's."""
    chain = sf.lit(settings.time_zone)
    if not settings.store_time_zones:
        return chain
    pairs = [sf.lit(text) for pair in sorted(settings.store_time_zones.items()) for text in pair]
    return sf.coalesce(sf.try_element_at(sf.create_map(*pairs), store_id), chain)


def local_day(instant: Column, zone: Column) -> Column:
    """The local date of an instant (a timestamp)."""
    return sf.to_date(sf.from_utc_timestamp(instant, zone))


def day_start_ms(day: Column, zone: Column) -> Column:
    """The first instant of a local day, ms since the epoch. Where midnight does not exist, the first instant after it."""
    return sf.unix_millis(sf.to_utc_timestamp(day.cast("timestamp"), zone))
