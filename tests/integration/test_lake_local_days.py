"""Spark's local days are those of the calendar that the stream's features and the training rows use."""

from __future__ import annotations

import datetime as dt

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts.windows import EPOCH, Calendar
from lake import local_days


@pytest.mark.parametrize(
    ("zone", "around"),
    [
        ("Europe/London", dt.date(2024, 3, 31)),
        ("Europe/London", dt.date(2024, 10, 27)),
        ("America/New_York", dt.date(2024, 11, 3)),
        ("America/Sao_Paulo", dt.date(2018, 11, 4)),  # clocks spring forward at midnight: 00:00 does not exist
        ("America/Havana", dt.date(2024, 11, 3)),  # 00:00 comes twice
        ("Asia/Kathmandu", dt.date(2024, 6, 1)),
        ("Pacific/Auckland", dt.date(2024, 4, 7)),
    ],
)
def test_local_days_are_those_of_the_shared_calendar(spark_alone: SparkSession, zone: str, around: dt.date) -> None:
    calendar = Calendar(zone)
    middle = (around - EPOCH).days
    instants = range((middle - 2) * 86_400_000, (middle + 3) * 86_400_000, 900_000)
    frame = spark_alone.createDataFrame([(each,) for each in instants], "ms bigint")
    day = local_days.local_day(sf.timestamp_millis("ms"), sf.lit(zone))
    start = local_days.day_start_ms(day, sf.lit(zone))
    found = frame.select("ms", sf.unix_date(day).alias("day"), start.alias("start")).collect()

    assert [(row["day"], row["start"]) for row in found] == [
        (calendar.day(row["ms"]), calendar.day_start(calendar.day(row["ms"]))) for row in found
    ]
