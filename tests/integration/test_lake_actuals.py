"""Which months `lake actuals` makes anew as files of forecasts and of gold.daily come, go and are merged."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.clock import system_clock
from contracts.errors import UsageError
from contracts.settings import Settings
from lake import marts, schemas
from lake.jobs import actuals
from lake.maintain import SMALL_FILES, Ages, maintain
from lake.months import Days
from lake.table import Table
from tests.own_lake import own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

STORE = "s-1"
JANUARY, FEBRUARY, MARCH = (dt.date(2024, month, 10) for month in (1, 2, 3))
PRODUCTS = [f"p-{number}" for number in range(SMALL_FILES)]
Dates = tuple[dt.date, ...]
SOURCES = (schemas.GOLD_FORECASTS, schemas.GOLD_DAILY)


@pytest.fixture(scope="module")
def empty(settings: Settings) -> Iterator[SparkSession]:
    with own_lake(settings, uuid.uuid4().hex[:8]) as own:
        schemas.create_if_missing(own)
        yield own


@pytest.fixture
def session(empty: SparkSession) -> SparkSession:
    """A lake of which each product has a forecast and a demand in three months, in files of its own."""
    for table in (*SOURCES, schemas.GOLD_FORECAST_ACTUAL, schemas.BY_NAME[schemas.FORECAST_ACTUAL_PROGRESS]):
        empty.sql(f"DELETE FROM {table.name}")
    forecast(empty, PRODUCTS, JANUARY, FEBRUARY, MARCH)
    sell(empty, PRODUCTS, JANUARY, FEBRUARY, MARCH)
    return empty


def append(session: SparkSession, table: Table, given: dict[str, Any], products: Sequence[str], day: str, days: Dates) -> None:
    """A row per product × day, of these values and nothing else, in one commit; each product has files of its own."""
    named = sf.element_at(sf.array(*map(sf.lit, products)), (sf.col("id") + 1).cast("int"))
    rows = session.range(0, len(products), numPartitions=len(products)).select(
        named.alias("product_id"), sf.explode(sf.array(*map(sf.lit, days))).alias(day)
    )
    columns = {name: sf.lit(given.get(name)).cast(kind) for name, kind in table.columns if name not in rows.columns}
    filled = rows.withColumns(columns).select(*table.column_names)
    filled.writeTo(table.name).option("distribution-mode", "none").option("fanout-enabled", "true").append()


def forecast(session: SparkSession, products: Sequence[str], *days: dt.date) -> None:
    """Has the nightly scoring say something of these days."""
    as_of_ms = int(dt.datetime(2024, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
    said = {"model_name": "m", "model_version": "1", "store_id": STORE, "mean": 3.0, "as_of_ms": as_of_ms}
    append(session, schemas.GOLD_FORECASTS, said, products, "target_day", days)


def sell(session: SparkSession, products: Sequence[str], *days: dt.date) -> None:
    """Has the demand of these days come to gold."""
    came = {"store_id": STORE, "units": 1, "demand": 1.0, "complete": True}
    append(session, schemas.GOLD_DAILY, came, products, "local_day", days)


def merge(session: SparkSession) -> None:
    """What maintenance does to what actuals are made of; each table's files become fewer."""
    for table in SOURCES:
        kept = maintain(session, table, system_clock(), ages=Ages(), dry_run=False)
        assert kept.after.files < kept.before.files


def made(session: SparkSession, settings: Settings) -> list[str]:
    """The months that a run makes anew."""
    months: list[str] = actuals.run(session, settings).detail["months"]
    return months


def judged(session: SparkSession) -> dict[tuple[str, dt.date], float]:
    return {(row["product_id"], row["target_day"]): row["error"] for row in session.table(names.GOLD_FORECAST_ACTUAL).collect()}


def test_merged_files_are_no_change(session: SparkSession, settings: Settings) -> None:
    assert made(session, settings) == ["2024-01", "2024-02", "2024-03"]
    before = judged(session)
    merge(session)

    assert made(session, settings) == []
    assert judged(session) == before
    assert len(before) == 3 * len(PRODUCTS)


def test_what_came_is_taken_in_by_its_months_though_it_was_merged_since(session: SparkSession, settings: Settings) -> None:
    made(session, settings)
    sell(session, ["p-new"], FEBRUARY, dt.date(2024, 5, 1))  # of May nothing was forecast
    forecast(session, ["p-new"], MARCH)
    merge(session)

    assert made(session, settings) == ["2024-02", "2024-03"]
    assert judged(session)["p-new", MARCH] is None
    sell(session, ["p-new"], MARCH)
    assert made(session, settings) == ["2024-03"]
    assert judged(session)["p-new", MARCH] == 2.0
    assert made(session, settings) == []


def test_what_is_gone_takes_its_judgement_with_it(session: SparkSession, settings: Settings) -> None:
    made(session, settings)
    session.sql(f"DELETE FROM {names.GOLD_DAILY} WHERE local_day = DATE '{FEBRUARY}'")
    assert made(session, settings) == ["2024-02"]
    assert {error for (_, day), error in judged(session).items() if day == FEBRUARY} == {None}

    session.sql(f"DELETE FROM {names.GOLD_FORECASTS} WHERE product_id = 'p-0'")
    assert made(session, settings) == ["2024-01", "2024-02", "2024-03"]
    assert {product for product, _ in judged(session)} == set(PRODUCTS[1:])


def test_the_months_of_a_span_are_made_anew_whatever_was_seen(session: SparkSession, settings: Settings) -> None:
    made(session, settings)
    whole = judged(session)
    session.sql(f"DELETE FROM {names.GOLD_FORECAST_ACTUAL} WHERE target_day >= DATE '{FEBRUARY}'")  # rows were lost
    sell(session, ["p-new"], JANUARY)
    span = Days(dt.date(2024, 2, 20), dt.date(2025, 7, 1))
    planned = actuals.run(session, settings, days=span, dry_run=True)
    assert judged(session).keys() == {key for key in whole if key[1] == JANUARY}

    done = [actuals.run(session, settings, days=span) for _ in range(2)]

    assert [report.detail["months"] for report in (planned, *done)] == [["2024-02", "2024-03"]] * 3
    assert {report.rows_out for report in (planned, *done)} == {2 * len(PRODUCTS)}
    assert judged(session) == whole
    assert made(session, settings) == ["2024-01"]  # what came meanwhile is still to be seen


def test_a_span_of_which_nothing_was_forecast_is_refused(session: SparkSession, settings: Settings) -> None:
    with pytest.raises(UsageError, match="2024-04-01") as refused:
        actuals.run(session, settings, days=Days(dt.date(2024, 4, 1), dt.date(2024, 4, 30)))

    assert "2024-01, 2024-02, 2024-03" in refused.value.why


def test_where_the_commits_between_are_gone_every_month_is_made_anew(session: SparkSession, settings: Settings) -> None:
    made(session, settings)
    for product in ("p-new", "p-newer"):  # two commits each, of which the first goes
        sell(session, [product], JANUARY)
        forecast(session, [product], MARCH)
    for table in SOURCES:
        name = table.name.removeprefix(f"{names.CATALOG}.")
        system, of = f"{names.CATALOG}.system", f"table => '{name}', older_than => TIMESTAMP '2100-01-01 00:00:00'"
        session.sql(f"CALL {system}.expire_snapshots({of}, retain_last => 1)").collect()

    assert actuals.run(session, settings, dry_run=True).detail["months"] == ["2024-01", "2024-02", "2024-03"]
    assert made(session, settings) == ["2024-01", "2024-02", "2024-03"]
    assert ("p-new", MARCH) in judged(session)
    assert made(session, settings) == []


def test_the_sums_of_the_mart_do_not_depend_on_how_the_rows_lie(empty: SparkSession) -> None:
    key = {"source": "served", "model_name": "m", "model_version": "1", "horizon_days": 1, "target_day": MARCH, "store_id": STORE}
    means = [0.1, 1e16, 0.2, -1e16, 0.3, 3.0, 0.7]
    rows = [
        {**key, "category": "c", "mean": mean, "actual": mean / 3, "error": mean / 7, "absolute_error": abs(mean) / 7}
        | {"mean_pinball": mean / 9 if number % 2 else None}
        for number, mean in enumerate(means)
    ]
    kinds = (
        "source string, model_name string, model_version string, horizon_days int, target_day date, store_id string,"
        " category string, mean double, actual double, error double, absolute_error double, mean_pinball double"
    )
    lying = [
        empty.createDataFrame([tuple(row.values()) for row in order], kinds).repartition(parts)
        for order in (rows, rows[::-1], rows[3:] + rows[:3])
        for parts in (1, 4)
    ]
    sums = [marts.summed(frame).collect() for frame in lying]

    assert all(found == sums[0] for found in sums)
    assert (sums[0][0]["forecasts"], sums[0][0]["quantile_forecasts"]) == (7, 3)
    assert sums[0][0]["absolute_error"] == pytest.approx(math.fsum(row["absolute_error"] for row in rows))
