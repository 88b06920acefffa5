"""The lake on real Kafka, PostgreSQL and S3: every message accounted for, sums exact to the cent, every job safe to run again.

One Spark session and one lake of its own (a catalog database that is dropped at the end) serve all tests of this file; each
test may send more messages, and the oracle knows all that were sent.
"""

from __future__ import annotations

import datetime as dt
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.errors import DataGateError
from contracts.events import ForecastServed, Receipt
from contracts.features import CATALOGUE_FINGERPRINT
from contracts.settings import Settings
from lake import marts, repeats, schemas
from lake import tables as lake_tables
from lake.audit import Audit, PartitionAudit
from lake.bronze import checkpoint_folder
from lake.database import JobIsRunning, sole_writer
from lake.demand import Reason
from lake.jobs import actuals, audit, bronze, gold, maintain, reference, silver
from lake.jobs import marts as marts_job
from lake.months import Days
from lake.publication import BRANCH
from streams.declare import declare
from tests import lake_world
from tests.filled_lake import Lake, assert_forecasts_are_held_against_what_came, assert_gold_is_exact, oracle
from tests.lake_world import ACCEPTED, DUPLICATE, LONDON, NEW_YORK, ZONES
from tests.oracles import lake_forecast_actual, lake_returns
from tests.own_lake import own_lake

# Alone it takes three minutes; the first test carries the two runs of the whole line, on a machine that may be busy.
pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def lake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    tag = uuid.uuid4().hex[:8]
    own = settings.model_copy(
        update={
            "home": tmp_path_factory.mktemp("lake"),
            "topic_prefix": f"lake-{tag}.",
            "time_zone": "Europe/London",
            "store_time_zones": {NEW_YORK: "America/New_York"},
            "store_holidays": {NEW_YORK: "US-NY"},
        }
    )
    declare(own)
    with own_lake(settings, tag) as session:
        yield Lake(session, own)


@pytest.fixture(scope="module")
def filled(lake: Lake) -> Lake:
    """The lake after two runs of the line, with every kind of fault in both, and repeats within and across the runs."""
    history = lake_world.history()
    middle = len(history) // 2
    receipts = [message.event for message in history[:middle] if isinstance(message.event, Receipt)]
    again = [lake_world.repeated(receipt) for receipt in receipts[::9]]
    lake.world.send(lake.settings, [*history[:middle], *lake_world.faults(lake.settings, receipts[0]), *again])
    lake.line()
    late = lake_world.history(seed=3, first=dt.date(2024, 2, 20), days=2, tag="-late")
    stale = [lake_world.repeated(receipt) for receipt in receipts[::11]]
    plain = [lake_world.repeated(m.event) for m in history[:40] if m.event is not None and not isinstance(m.event, Receipt)]
    lake.world.send(lake.settings, [*stale, *history[middle:], *plain, *late, *lake_world.forecasts()])
    lake.line()
    return lake


def test_every_message_is_accounted_for(filled: Lake) -> None:
    found = audit.run(filled.session, filled.settings)
    world, totals = filled.world, found.silver.totals

    assert found.faults == []
    assert sum(part.messages for part in found.partitions) == len(world.messages)
    assert totals["messages_in"] == len(world.messages)
    assert totals["lines_in"] == sum(message.lines for message in world.messages)
    assert totals["silver_lines"] == sum(m.event_lines for m in world.messages if m.fate == ACCEPTED)
    assert totals["duplicate_lines"] == sum(message.repeated_lines for message in world.messages)
    assert totals["quarantined"] == len(world.messages) - world.count(ACCEPTED, DUPLICATE)


def test_refused_messages_keep_their_reason_and_their_bytes(filled: Lake) -> None:
    kinds = {topic: topic.removeprefix(filled.settings.topic_prefix) for topic in lake_world.topic_names(filled.settings)}
    found: dict[str, int] = {}
    for row in filled.rows(names.SILVER_QUARANTINE):
        name = f"{kinds[row['topic']]}:{row['reason']}"
        found[name] = found.get(name, 0) + 1
    raw = {bytes(row["raw"]) for row in filled.rows(names.SILVER_QUARANTINE) if row["raw"] is not None}
    refused = [m for m in filled.world.messages if m.fate not in (ACCEPTED, DUPLICATE)]

    assert found == filled.world.refused()
    assert raw == {message.value for message in refused if message.value is not None}


def test_silver_sums_are_exact_to_the_cent(filled: Lake) -> None:
    lines = [line for receipt in filled.world.events(Receipt) for line in receipt.lines]
    sums = filled.session.table(names.SILVER_SALES).agg(sf.sum("quantity"), sf.sum(sf.col("quantity") * sf.col("unit_price")))

    assert tuple(sums.collect()[0]) == (
        sum(line.quantity for line in lines),
        sum(line.quantity * line.unit_price for line in lines),
    )


def test_silver_has_every_field_of_every_line(filled: Lake) -> None:
    fields = ("event_id", "line_number", "event_time_ms", "store_id", "channel", "local_day", "schema_version")
    of_a_line = ("product_id", "quantity", "unit_price", "list_price", "promotion_id", "sale_id")
    expected = [
        (r.event_id, number, r.event_time, r.store_id, r.channel, _local_day(r), r.schema_version, *_values(line, of_a_line))
        for r in filled.world.events(Receipt)
        for number, line in enumerate(r.lines)
    ]
    found = [tuple(row[name] for name in (*fields, *of_a_line)) for row in filled.rows(names.SILVER_SALES)]

    assert sorted(found, key=repr) == sorted(expected, key=repr)


def test_served_forecasts_reach_the_lake_day_by_day(filled: Lake) -> None:
    found = [(row["event_id"], row["target_day"], row["mean"], row["quantiles"]) for row in filled.rows(names.SILVER_FORECASTS)]
    expected = [
        (event.event_id, *((day.target_day, day.mean, day.quantiles) if day else (None, None, None)))
        for event in filled.world.events(ForecastServed)
        for day in event.days or (None,)
    ]

    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert ("f-2", None, None, None) in found


def test_gold_made_in_steps_is_what_plain_loops_make_of_all_events(filled: Lake) -> None:
    assert_gold_is_exact(filled)


def test_returns_linked_in_steps_are_what_a_walk_over_all_lines_links(filled: Lake) -> None:
    lines = [
        lake_returns.Line(r.store_id, x.product_id, x.unit_price, r.event_time, r.event_id, number, x.quantity, x.sale_id)
        for r in filled.world.events(Receipt)
        for number, x in enumerate(r.lines)
    ]
    columns = ("event_id", "line_number", "sale_event_id", "sale_line_number", "units", "hours")
    expected = lake_returns.returns(lines)
    found = [tuple(row[name] for name in columns) for row in filled.rows(names.GOLD_RETURNS)]

    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert {sale is None for _, _, sale, *_ in expected} == {True, False}


def test_the_oracle_has_seen_every_case(filled: Lake) -> None:
    rows = list(oracle(filled).values())

    assert {row["demand_reason"] for row in rows} == set(get_args(Reason))
    assert {row["promoted"] for row in rows} == {True, False}
    assert any(row["units"] == 0 for row in rows)
    assert any(row["price"] is None for row in rows)
    assert any(row["in_stock"] is None for row in rows)
    assert any(row["closing_on_hand"] is None and row["received_units"] for row in rows)
    assert any(row["transferred_units"] > 0 for row in rows)
    assert any(row["transferred_units"] < 0 < (row["closing_on_hand"] or 0) for row in rows)
    assert any(row["adjusted_units"] < 0 < row["closing_on_hand"] for row in rows if row["closing_on_hand"] is not None)
    assert any(row["counted_at"].date() < key[2] for key, row in oracle(filled).items() if row["counted_at"] is not None)


@pytest.fixture(scope="module")
def scored(filled: Lake) -> list[lake_forecast_actual.Said]:
    """What two nightly scorings said, in the lake as the scoring writes it: a column per quantile."""
    said = [
        lake_forecast_actual.Said(
            "scored",
            None,
            LONDON,
            product,
            int(dt.datetime(2024, 3, 29, hour, tzinfo=dt.UTC).timestamp() * 1000),
            dt.date(2024, 3, 29) + dt.timedelta(days=ahead),
            ("demand", "7"),
            mean,
            {"0.1": mean / 2, "0.975": mean * 3},
        )
        for hour, mean in ((0, 2.0), (13, 5.0))
        for product in lake_world.PRODUCTS
        for ahead in range(14)
    ]
    columns = "model_name string, model_version string, store_id string, product_id string, as_of_ms bigint, target_day date,"
    rows = [
        (*one.model, one.store_id, one.product_id, one.as_of_ms, one.target_day, one.mean, *one.quantiles.values())
        for one in said
    ]
    made = filled.session.createDataFrame(rows, f"{columns} mean double, q10 double, q975 double")
    missing = {name: sf.lit(None).cast(kind) for name, kind in schemas.GOLD_FORECASTS.columns if name not in made.columns}
    made.withColumns(missing).writeTo(names.GOLD_FORECASTS).append()
    return said


def test_each_forecast_is_held_against_what_came(filled: Lake, scored: list[lake_forecast_actual.Said]) -> None:
    planned = actuals.run(filled.session, filled.settings, dry_run=True)
    report = actuals.run(filled.session, filled.settings)
    rows = filled.rows(names.GOLD_FORECAST_ACTUAL)

    assert_forecasts_are_held_against_what_came(filled, scored)
    assert planned.rows_out == report.rows_out == len(rows)
    assert report.detail["months"] == ["2024-03", "2024-04"]
    assert {row["complete"] for row in rows} == {True, False}
    assert {row["source"] for row in rows if row["pinball"]} == {"served", "scored"}
    assert any(row["horizon_days"] == 0 and row["sold_by_as_of"] and row["actual"] for row in rows)


def test_running_every_job_again_changes_nothing(filled: Lake) -> None:
    tables = (
        names.BRONZE_EVENTS,
        *(table.name for table in schemas.SILVER),
        names.GOLD_DAILY,
        names.GOLD_RETURNS,
        names.GOLD_CALENDAR,
        names.GOLD_FORECAST_ACTUAL,
        "lake.gold.product",
        "lake.gold.store",
    )
    actuals.run(filled.session, filled.settings)
    before = {table: filled.snapshot(table) for table in tables}
    reports = [job.run(filled.session, filled.settings) for job in (bronze, silver, gold, actuals)]

    assert {table: filled.snapshot(table) for table in tables} == before
    assert [(report.rows_in, report.rows_out) for report in reports] == [(0, 0)] * 4


def test_gold_made_anew_is_the_gold_made_in_steps(filled: Lake) -> None:
    before = filled.rows(names.GOLD_DAILY)
    returns = filled.rows(names.GOLD_RETURNS)
    planned = gold.run(filled.session, filled.settings, full=True, dry_run=True)
    report = gold.run(filled.session, filled.settings, full=True)

    assert filled.rows(names.GOLD_DAILY) == before
    assert filled.rows(names.GOLD_RETURNS) == returns
    assert planned.rows_out == report.rows_out == len(before)


def test_a_month_in_the_middle_is_made_anew_as_it_was_also_where_rows_of_it_were_lost(filled: Lake) -> None:
    """As it was is as gold made anew in one go has it: see above."""
    made, days = (names.GOLD_DAILY, names.GOLD_RETURNS), Days(dt.date(2024, 3, 10), dt.date(2024, 3, 12))
    kept = (*made, names.GOLD_CALENDAR, schemas.GOLD_PROGRESS)
    before = {table: filled.rows(table) for table in kept}
    of_march = {table: sum(row["local_day"].month == 3 for row in before[table]) for table in made}
    planned = gold.run(filled.session, filled.settings, days=days, dry_run=True)
    report = gold.run(filled.session, filled.settings, days=days)
    assert {table: filled.rows(table) for table in kept} == before

    filled.session.sql(f"DELETE FROM {names.GOLD_DAILY} WHERE local_day BETWEEN DATE'2024-03-05' AND DATE'2024-03-20'")
    filled.session.sql(f"DELETE FROM {names.GOLD_RETURNS} WHERE local_day BETWEEN DATE'2024-03-01' AND DATE'2024-03-31'")
    gold.run(filled.session, filled.settings, days=days)
    assert {table: filled.rows(table) for table in kept} == before
    assert planned.detail["months"] == report.detail["months"] == ["2024-03"]
    assert planned.detail["rows"] == report.detail["rows"] == of_march
    assert 0 < of_march[names.GOLD_DAILY] < len(before[names.GOLD_DAILY])


def test_days_made_before_gold_had_its_latest_columns_are_made_with_the_next_rows(filled: Lake) -> None:
    lacking = ", ".join(f"{column} = NULL" for column in {"closing_on_hand", gold.LATEST_COLUMN})
    filled.session.sql(f"UPDATE {names.GOLD_DAILY} SET {lacking} WHERE store_id = '{LONDON}'")
    filled.world.send(filled.settings, lake_world.history(seed=41, first=dt.date(2024, 4, 8), days=1, tag="-newer"))
    filled.line()

    assert_gold_is_exact(filled)


def test_the_calendar_has_every_day_of_gold_and_a_year_of_days_to_come_for_each_store(filled: Lake) -> None:
    days = [key[2] for key in oracle(filled)]
    expected = {min(days) + dt.timedelta(days=number) for number in range((max(days) - min(days)).days + 401)}
    rows = filled.rows(names.GOLD_CALENDAR)
    found = {(row["store_id"], row["local_day"]) for row in rows}
    easter = {(row["store_id"], row["holiday"]) for row in rows if row["local_day"] == dt.date(2024, 4, 1)}

    assert len(rows) == len(found)
    assert found == {(store, day) for store in ZONES for day in expected}
    assert easter == {(LONDON, "Easter Monday"), (NEW_YORK, None)}


@pytest.mark.parametrize("writes", [1, 3])
def test_silver_killed_between_two_writes_is_exact_after_the_next_run(
    filled: Lake, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    more = lake_world.history(seed=writes, first=dt.date(2024, 4, 1), days=2, tag=f"-killed{writes}")
    receipts = [message.event for message in more if isinstance(message.event, Receipt)]
    refused = lake_world.Message("sales", LONDON, b"{broken", "not_json")
    filled.world.send(filled.settings, [*more, lake_world.repeated(receipts[0]), refused])
    bronze.run(filled.session, filled.settings)
    with monkeypatch.context() as patched:
        patched.setattr(lake_tables, "append", _killed_after(writes))
        with pytest.raises(Killed):
            silver.run(filled.session, filled.settings)
    report = silver.run(filled.session, filled.settings)

    assert report.detail["unfinished_rows_removed"] > 0
    assert report.rows_in == sum(message.lines for message in more) + len(receipts[0].lines) + 1
    assert audit.run(filled.session, filled.settings).faults == []
    gold.run(filled.session, filled.settings)
    assert_gold_is_exact(filled)


def test_a_batch_that_reached_bronze_before_the_kill_is_not_written_twice(filled: Lake) -> None:
    filled.world.send(filled.settings, lake_world.history(seed=20, first=dt.date(2024, 4, 2), days=1, tag="-batch"))
    bronze.run(filled.session, filled.settings)
    commits = checkpoint_folder(filled.settings) / "commits"
    last = max((path for path in commits.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    last.unlink()  # what a kill leaves between Iceberg's commit and Spark's note of it
    (commits / f".{last.name}.crc").unlink(missing_ok=True)
    filled.world.send(filled.settings, lake_world.history(seed=21, first=dt.date(2024, 4, 3), days=1, tag="-after"))
    report = bronze.run(filled.session, filled.settings)

    assert report.detail["checkpoint_discarded"]
    assert audit.run(filled.session, filled.settings).faults == []


@pytest.mark.parametrize("how", ["lost", "older"])
def test_a_lost_or_older_checkpoint_neither_skips_nor_repeats(filled: Lake, tmp_path: Path, how: str) -> None:
    checkpoint = checkpoint_folder(filled.settings)
    shutil.copytree(checkpoint, tmp_path / "copy")
    filled.world.send(filled.settings, lake_world.history(seed=30, first=dt.date(2024, 4, 4), days=1, tag=f"-{how}1"))
    bronze.run(filled.session, filled.settings)
    shutil.rmtree(checkpoint)
    if how == "older":
        shutil.copytree(tmp_path / "copy", checkpoint)
    filled.world.send(filled.settings, lake_world.history(seed=31, first=dt.date(2024, 4, 5), days=1, tag=f"-{how}2"))
    report = bronze.run(filled.session, filled.settings)

    assert report.detail["checkpoint_discarded"] == (how == "older")
    assert audit.run(filled.session, filled.settings).faults == []
    assert filled.session.table(names.BRONZE_EVENTS).count() == len(filled.world.messages)


def test_the_audit_names_a_lost_and_a_repeated_offset(filled: Lake) -> None:
    filled.line()
    events = filled.session.table(names.BRONZE_EVENTS)
    topic = f"{filled.settings.topic_prefix}sales"
    victim = events.where((sf.col("topic") == topic) & (sf.col("offset") == 5)).orderBy("partition").limit(1).localCheckpoint()
    partition = victim.collect()[0]["partition"]
    filled.session.sql(f"DELETE FROM {names.BRONZE_EVENTS} WHERE topic='{topic}' AND `partition`={partition} AND `offset`=5")
    lost = audit.run(filled.session, filled.settings).faults
    for _ in range(2):  # two commits, as of two writers that took the same message
        victim.withColumn("ingest_time", sf.current_timestamp()).writeTo(names.BRONZE_EVENTS).append()
    twice = sales_part(audit.run(filled.session, filled.settings), topic, partition)
    times = [dt.datetime.fromisoformat(copy.ingested) for copy in twice.repeated_offsets[0].copies]
    filled.session.sql(repeats.leave_one([topic]))

    assert f"{topic}/{partition}: offsets 5 to 5 are missing" in lost
    assert len(twice.faults) == 1
    assert f"{topic}/{partition}: 1 rows repeat an offset: 5 (2 times, ingested " in twice.faults[0]
    assert len({copy.file for copy in twice.repeated_offsets[0].copies}) == len(set(times)) == 2
    assert audit.run(filled.session, filled.settings).faults == []


def sales_part(found: Audit, topic: str, partition: int) -> PartitionAudit:
    (part,) = [part for part in found.partitions if (part.topic, part.partition) == (topic, partition)]
    return part


def test_a_job_that_runs_already_is_not_run_beside(filled: Lake) -> None:
    with sole_writer(filled.settings, "lake bronze"), pytest.raises(JobIsRunning, match="lake bronze"):
        bronze.run(filled.session, filled.settings, lock_seconds=1)


def test_master_data_are_complete_with_and_without_files(filled: Lake, tmp_path: Path) -> None:
    filled.line()
    products = {row["product_id"]: row for row in filled.rows("lake.gold.product")}
    stores = {row["store_id"]: row for row in filled.rows("lake.gold.store")}
    assert products.keys() == {*lake_world.PRODUCTS, lake_world.LISTED_LATER}
    assert stores[NEW_YORK]["time_zone"] == "America/New_York"
    assert stores[LONDON] | {"created": None} == {
        "store_id": LONDON,
        "event_time": dt.datetime(2000, 1, 1),  # noqa: DTZ001  # Spark gives naive datetimes in the session's zone, UTC
        "created": None,
        "as_of_ms": 946_684_800_000,
        "source_offset": -1,
        "fingerprint": CATALOGUE_FINGERPRINT,
        "region": "",
        "time_zone": "Europe/London",
        "lead_time_days": 2,
        "review_period_days": 1,
    }

    table = pa.table(
        {"product_id": ["p-apple", "p-new"], "name": ["Apple", "New"], "category": ["fruit", None], "pack_size": [6, 4]}
    )
    pq.write_table(table, tmp_path / "products.parquet")
    planned = reference.run(filled.session, filled.settings, tmp_path, dry_run=True)
    assert {row["product_id"]: row for row in filled.rows("lake.gold.product")} == products
    first = reference.run(filled.session, filled.settings, tmp_path)
    again = reference.run(filled.session, filled.settings, tmp_path)
    gold.run(filled.session, filled.settings, full=True)
    loaded = {row["product_id"]: (row["category"], row["pack_size"]) for row in filled.rows("lake.gold.product")}

    unlisted = dict.fromkeys((*lake_world.PRODUCTS, lake_world.LISTED_LATER), ("", 1))
    assert loaded == unlisted | {"p-apple": ("fruit", 6), "p-new": ("", 4)}
    assert (planned.rows_out, planned.detail["changed"]) == (first.rows_out, first.detail["changed"])
    assert (first.detail["changed"], again.detail["changed"]) == ({"product": 2, "store": 0}, {"product": 0, "store": 0})

    pq.write_table(pa.table({"product_id": ["p-apple", "p-apple"], "pack_size": [6, 7]}), tmp_path / "products.parquet")
    with pytest.raises(DataGateError, match="two things of p-apple"):
        reference.run(filled.session, filled.settings, tmp_path)


def test_late_sales_change_what_earlier_forecasts_are_held_against(filled: Lake, scored: list[lake_forecast_actual.Said]) -> None:
    actuals.run(filled.session, filled.settings)
    sold = lake_world.history(seed=50, first=dt.date(2024, 4, 2), days=1, tag="-judged")
    filled.world.send(filled.settings, sold)
    filled.line()
    late = actuals.run(filled.session, filled.settings)
    assert_forecasts_are_held_against_what_came(filled, scored)
    in_steps = filled.rows(names.GOLD_FORECAST_ACTUAL)
    anew = actuals.run(filled.session, filled.settings, full=True)

    assert late.detail["months"] == ["2024-04"]
    assert anew.rows_out == len(in_steps)
    assert filled.rows(names.GOLD_FORECAST_ACTUAL) == in_steps


def test_the_marts_are_gold_and_of_one_run(filled: Lake, scored: list[lake_forecast_actual.Said]) -> None:
    first = marts_job.run(filled.session, filled.settings)
    second = marts_job.run(filled.session, filled.settings)
    marts.record_job(filled.settings, second)
    expected = filled.session.table(names.GOLD_DAILY).agg(
        sf.count("*"), sf.sum("units"), sf.sum(sf.col("sales_cents") - sf.col("refund_cents"))
    )
    judged = [row for row in filled.rows(names.GOLD_FORECAST_ACTUAL) if row["error"] is not None]
    losses = [sum(row["pinball"].values()) / len(row["pinball"]) for row in judged if row["pinball"]]
    with psycopg.connect(filled.settings.postgres_url(names.POSTGRES_DATABASE)) as connection:
        found = connection.execute(f"SELECT count(*), sum(units), sum(revenue_cents) FROM {names.MART_DAILY}").fetchone()
        forecasts = connection.execute(
            "SELECT sum(forecasts), sum(absolute_error), sum(error), sum(actual), sum(pinball), sum(quantile_forecasts)"
            f" FROM {names.MART_FORECAST_ACTUAL}"
        ).fetchone()
        published = connection.execute(
            f"SELECT mart, run_id, rows FROM {names.MART_PUBLICATION} WHERE mart = ANY(%s) ORDER BY mart",
            ([names.MART_DAILY, names.MART_FORECAST_ACTUAL],),
        ).fetchall()
        logged = connection.execute(
            f"SELECT rows_out FROM {names.MART_JOBS} WHERE job = 'marts' AND started_at = to_timestamp(%s / 1000.0)",
            (second.started_at,),
        ).fetchone()

    assert first.detail["marts"] == second.detail["marts"]
    assert published == [(name, second.detail["run_id"], rows) for name, rows in sorted(second.detail["marts"].items())]
    assert found is not None
    assert tuple(found) == tuple(expected.collect()[0])
    sums = [sum(row[name] for row in judged) for name in ("absolute_error", "error", "actual")]
    assert forecasts == pytest.approx((len(judged), *sums, sum(losses), len(losses)))
    assert logged == (second.rows_out,)


def test_maintenance_merges_files_and_changes_no_row(filled: Lake) -> None:
    kept = (names.SILVER_SALES, names.GOLD_DAILY)
    before = {table: filled.rows(table) for table in kept}
    _left_unpublished(filled)
    planned = maintain.run(filled.session, filled.settings, dry_run=True)
    assert filled.branches(names.GOLD_DAILY) == {"main", BRANCH}
    report = maintain.run(filled.session, filled.settings)
    assert filled.branches(names.GOLD_DAILY) == {"main"}
    filled.world.send(filled.settings, lake_world.history(seed=40, first=dt.date(2024, 4, 6), days=1, tag="-maintained"))
    assert {table: filled.rows(table) for table in kept} == before
    filled.line()

    assert planned.rows_out == planned.rows_in == report.rows_in
    assert report.rows_out < report.rows_in
    untouched, merged = planned.detail["stored"], report.detail["stored"]
    assert untouched["before"] == untouched["after"] > 0
    assert merged["before"] < merged["after"]  # all snapshots are young, so what was merged is there twice
    assert audit.run(filled.session, filled.settings).faults == []
    assert_gold_is_exact(filled)


def _left_unpublished(lake: Lake) -> None:
    """What a gold job leaves that is killed before it publishes, younger than what is published."""
    lake.session.sql(f"ALTER TABLE {names.GOLD_DAILY} CREATE BRANCH {BRANCH}")
    lake.session.sql(f"DELETE FROM {names.GOLD_DAILY}.branch_{BRANCH}")
    assert lake_tables.rows(lake.session, names.GOLD_DAILY) == len(lake.rows(names.GOLD_DAILY)) > 0


def _values(line: object, fields: Sequence[str]) -> list[Any]:
    return [getattr(line, name) for name in fields]


def _local_day(receipt: Receipt) -> dt.date:
    return dt.datetime.fromtimestamp(receipt.event_time / 1000, ZONES[receipt.store_id]).date()


class Killed(Exception):
    """Stands for the end of a process in the middle of its work."""


def _killed_after(writes: int) -> Callable[..., None]:
    append, done = lake_tables.append, [0]

    def write(*arguments: Any) -> None:
        if done[0] == writes:
            raise Killed
        done[0] += 1
        append(*arguments)

    return write
