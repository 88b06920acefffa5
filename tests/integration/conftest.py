"""What several tests share."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from contracts.settings import Settings
from featurestore.online import OnlineStore
from tests.stream_worker import apart, opened


@pytest.fixture
def fresh(settings: Settings) -> Settings:
    """Topics of one test alone."""
    return apart(settings)


@pytest.fixture
def fresh_online(fresh: Settings) -> Iterator[OnlineStore]:
    """The online rows of a worker on fresh topics."""
    with opened(fresh) as store:
        yield store


@pytest.fixture(scope="module")
def spark_alone() -> Iterator[SparkSession]:
    """Spark alone, with no catalog: transforms need none."""
    builder = SparkSession.builder.master("local[2]").config("spark.sql.session.timeZone", "UTC")
    builder = builder.config("spark.ui.enabled", "false").config("spark.sql.shuffle.partitions", "2")
    builder = builder.config("spark.sql.codegen.cache.maxEntries", "2000")  # as the lake's: the first session sets it for all
    session = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.pyspark.python", sys.executable).getOrCreate()
    yield session
    session.stop()
