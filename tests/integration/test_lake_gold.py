"""The calendar, the history of master data and the linked returns, against slow loops that know nothing of Spark."""

from __future__ import annotations

import dataclasses
import datetime as dt
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import holidays
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.events import EARLIEST_EVENT_MS, LATEST_EVENT_MS
from contracts.features import PRODUCT
from contracts.settings import Settings
from lake import history, schemas, store_calendar
from lake.jobs import calendar
from lake.returns import BAND_UNITS, Link, returns
from lake.tables import as_it_stands
from tests.oracles import lake_returns
from tests.oracles.lake_returns import Line
from tests.own_lake import open_gate, own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

FIRST, LAST = dt.date(2023, 12, 27), dt.date(2024, 1, 9)
LONDON, NEW_YORK, LISBON = "s-london", "s-newyork", "s-lisbon"
PLACES = {LONDON: ("GB", "ENG"), NEW_YORK: ("US", "NY"), LISBON: ("PT", None)}
Attributes = tuple[str, int, int]  # category, pack_size, shelf_life_days
Load = tuple[int, dict[str, Attributes]]  # when, and the rows by product
KEYS = ("p-1", "p-2", "p-3", "p-4")


@pytest.fixture(scope="module")
def kept(settings: Settings) -> Settings:
    """Three stores of three countries' holidays."""
    return settings.model_copy(update={"holidays": "GB-ENG", "store_holidays": {NEW_YORK: "US-NY", LISBON: "PT"}})


@pytest.fixture(scope="module")
def session(settings: Settings) -> Iterator[SparkSession]:
    """A lake of its own where each store sold something on the first day, and one on the last."""
    with own_lake(settings, uuid.uuid4().hex[:8]) as session:
        schemas.create_if_missing(session)
        days = [(store, "p-1", FIRST) for store in PLACES] + [(LONDON, "p-1", LAST)]
        daily = session.createDataFrame(days, "store_id string, product_id string, local_day date")
        lacking = {name: sf.lit(None).cast(kind) for name, kind in schemas.GOLD_DAILY.columns if name not in daily.columns}
        daily.withColumns(lacking).writeTo(names.GOLD_DAILY).append()
        yield session


def expected_calendar(named: Mapping[str, Mapping[dt.date, str]]) -> dict[tuple[str, dt.date], tuple[Any, ...]]:
    """Each day of each store, looking for the nearest holiday one day after the other."""
    rows: dict[tuple[str, dt.date], tuple[Any, ...]] = {}
    for store, days in named.items():
        for number in range((LAST - FIRST).days + 401):
            day = FIRST + dt.timedelta(days=number)
            after = next((off for off in range(800) if day + dt.timedelta(days=off) in days), None)
            before = next((off for off in range(800) if day - dt.timedelta(days=off) in days), None)
            rows[store, day] = (day.isoweekday(), day.month, day in days, days.get(day), after, before)
    return rows


def found_calendar(session: SparkSession) -> dict[tuple[str, dt.date], tuple[Any, ...]]:
    rows = session.table(names.GOLD_CALENDAR).collect()
    found = {
        (row["store_id"], row["local_day"]): (
            row["weekday"],
            row["month"],
            row["is_holiday"],
            row["holiday"],
            row["days_to_holiday"],
            row["days_since_holiday"],
        )
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def library() -> dict[str, Mapping[dt.date, str]]:
    years = range(2022, 2027)
    return {store: holidays.country_holidays(country, part, years) for store, (country, part) in PLACES.items()}


def test_each_store_has_the_public_holidays_of_its_place(session: SparkSession, kept: Settings) -> None:
    rows = store_calendar.write(open_gate(session, kept))
    found = found_calendar(session)

    assert rows == len(found)
    assert found == expected_calendar(library())


def test_a_files_holidays_take_the_librarys_place_until_an_empty_one_gives_it_back(
    session: SparkSession, kept: Settings, tmp_path: Path
) -> None:
    of_one, of_all = tmp_path / "one.csv", tmp_path / "all.csv"
    of_one.write_text(f"store_id,day,name\n{LISBON},2024-01-05,Fair\n{LISBON},2020-01-01,Long ago\n", encoding="utf-8")
    of_all.write_text(
        f"store_id,day,name\n*,2024-01-05,Sale\n{LONDON},2024-01-05,Fair\n{LONDON},2024-02-01,Move\n", encoding="utf-8"
    )
    (tmp_path / "none.csv").write_text("day,name\n", encoding="utf-8")
    fair, move, long_ago = dt.date(2024, 1, 5), dt.date(2024, 2, 1), dt.date(2020, 1, 1)
    store_calendar.write(open_gate(session, kept))
    planned = calendar.run(session, kept, of_one, dry_run=True)
    untouched = found_calendar(session)
    calendar.run(session, kept, of_one)
    one = {**expected_calendar(library()), **expected_calendar({LISBON: {fair: "Fair"}})}
    one |= {key: (*row[:5], (key[1] - long_ago).days) for key, row in one.items() if key[0] == LISBON and key[1] < fair}

    assert untouched == expected_calendar(library())
    assert (planned.rows_in, planned.rows_out) == (2, len(untouched))
    assert found_calendar(session) == one
    assert planned.detail["first_day"] == "2020-01-01"

    calendar.run(session, kept, of_all)
    everywhere = {LONDON: {fair: "Fair", move: "Move"}, NEW_YORK: {fair: "Sale"}, LISBON: {fair: "Sale"}}
    assert found_calendar(session) == expected_calendar(everywhere)
    store_calendar.write(open_gate(session, kept))  # as the next `lake gold` does
    assert found_calendar(session) == expected_calendar(everywhere)

    calendar.run(session, kept, tmp_path / "none.csv")
    assert found_calendar(session) == expected_calendar(library())


def loads(rng: random.Random, first_ms: int) -> Iterator[Load]:
    """Loads in which keys come, change, stay, go and come back; some at the very instant of the one before."""
    at_ms, rows = first_ms, dict[str, Attributes]()
    for number in range(6):
        for key in KEYS:
            fate = rng.random()
            if fate < 0.3:
                rows.pop(key, None)
            elif fate < 0.7:
                rows[key] = (rng.choice(("", "fruit", "bread")), rng.choice((1, 6)), 3)
        yield at_ms, dict(rows)
        at_ms += 0 if number == 2 else rng.randrange(1, 5) * 1_000


def as_of(loads_so_far: Sequence[Load], key: str, at_ms: int) -> Attributes | None:
    """What was known of a key: the latest load's row; before its first load, the row that came then."""
    with_key = [(when, rows[key]) for when, rows in loads_so_far if key in rows]
    if not with_key:
        return None
    if at_ms < with_key[0][0]:
        return with_key[0][1]
    return [rows for when, rows in loads_so_far if when <= at_ms][-1].get(key)


def test_what_was_known_at_an_instant_is_a_plain_join(session: SparkSession, kept: Settings) -> None:
    start_ms, done, table = 1_700_000_000_000, list[Load](), names.GOLD_PRODUCT_HISTORY
    columns = schemas.HISTORY_TABLES[PRODUCT.name].column_names[:-3]
    for now_ms, rows in loads(random.Random(11), start_ms):
        kinds = ", ".join(f"{name} {dict(schemas.HISTORY_TABLES[PRODUCT.name].columns)[name]}" for name in columns)
        given = session.createDataFrame([(key, *values) for key, values in rows.items()], kinds)
        versions, _ = history.after(session, PRODUCT, given, now_ms)
        open_gate(session, kept).publish(versions, sf.lit(True))
        done.append((max(now_ms, done[-1][0] + 1 if done else 0), rows))
    assert history.after(session, PRODUCT, given, now_ms + 1) == ({}, 0)

    instants = sorted({EARLIEST_EVENT_MS, LATEST_EVENT_MS - 1, *(when + off for when, _ in done for off in (-1, 0, 1))})
    asked = session.createDataFrame([(key, at) for key in KEYS for at in instants], "product_id string, at_ms bigint")
    at = sf.timestamp_millis("at_ms")
    versions = session.table(table)
    joined = asked.join(
        versions.withColumnRenamed("product_id", "of"),
        (sf.col("product_id") == sf.col("of")) & (at >= sf.col("valid_from")) & (at < sf.col("valid_to")),
        "left",
    ).collect()
    found = {
        (row["product_id"], row["at_ms"]): None if row["of"] is None else tuple(row[c] for c in columns[1:]) for row in joined
    }
    current = {row["product_id"]: tuple(row[c] for c in columns[1:]) for row in versions.where("is_current").collect()}

    assert len(joined) == len(found)  # no two versions at one instant
    assert found == {(key, at): as_of(done, key, at) for key in KEYS for at in instants}
    assert current == done[-1][1]
    assert versions.where("is_current").count() == len(current)
    assert versions.where("valid_from >= valid_to").isEmpty()
    assert any(key not in rows for _, rows in done[1:] for key in done[0][1])  # one went


def sold_and_given_back(rng: random.Random) -> Iterator[Line]:
    """Lines of a few series and prices: small and large, several of one instant and of one receipt, more given back than sold.

    Some returns name a receipt: one before them, one that others name too, one still to come, one of another store, none that is.
    """
    receipts = [f"r-{rng.random()}" for _ in range(900)]
    for number, receipt in enumerate(receipts):
        store, price = rng.choice((LONDON, NEW_YORK)), rng.choice((100, 100, 90))
        at_ms = 1_700_000_000_000 + number // 2 * 1_800_000
        for line in range(rng.randrange(1, 4)):
            size = rng.choice((1, 1, 2, 7, BAND_UNITS, 3 * BAND_UNITS + 5))
            if rng.random() < (0.75 if number < 600 else 0.4):
                yield Line(store, "p-1", price, at_ms, receipt, line, size)
            else:
                named = (receipts[rng.randrange(900)], receipts[max(number - rng.randrange(9), 0)], "r-unknown")
                yield Line(store, "p-1", price, at_ms, receipt, line, -size, rng.choice((None, None, *named)))


def test_a_return_gives_back_the_latest_units_of_its_price_that_are_not_given_back_yet(session: SparkSession) -> None:
    lines = list(sold_and_given_back(random.Random(5)))
    fields = list(Line.__dataclass_fields__)
    kinds = dict(schemas.SILVER_SALES.columns)
    rows = [tuple(getattr(line, name) for name in fields) for line in lines]
    sales = session.createDataFrame(rows, ", ".join(f"{name} {kinds[name]}" for name in fields)).withColumns(
        {"event_time": sf.timestamp_millis("event_time_ms"), "local_day": sf.to_date(sf.timestamp_millis("event_time_ms"))}
    )
    columns = ("event_id", "line_number", "sale_event_id", "sale_line_number", "units", "hours")
    expected = lake_returns.returns(lines)
    found = returns(sales, sf.lit(True)).collect()
    middle = dt.date(2023, 11, 20)
    later = returns(sales, sf.col("local_day") >= sf.lit(middle)).collect()

    assert sorted((tuple(row[name] for name in columns) for row in found), key=repr) == sorted(expected, key=repr)
    naming = {(line.event_id, line.line_number): line.sale_id for line in lines}
    for row in found:
        named = naming[row["event_id"], row["line_number"]]
        assert row["link"] == ("unmatched" if row["sale_event_id"] is None else "named" if named else "matched")
    assert {row["link"] for row in found} == set(get_args(Link))
    assert sorted(later, key=repr) == sorted((row for row in found if row["local_day"] >= middle), key=repr)
    assert len({piece[:2] for piece in expected if piece[2] is not None}) < sum(piece[2] is not None for piece in expected)


def test_what_a_job_reads_stands_still_while_others_commit(session: SparkSession) -> None:
    table = schemas.BRONZE_TOPICS
    gained = dataclasses.replace(table, columns=(*table.columns, ("note", "string")))
    row = session.sql("SELECT 'sales' AS topic, 'id' AS topic_id, current_timestamp() AS met_at")
    of_nothing = as_it_stands(session, table)
    row.writeTo(table.name).append()
    of_one = as_it_stands(session, gained)
    row.writeTo(table.name).append()

    assert (of_nothing.count(), of_one.count(), session.table(table.name).count()) == (0, 1, 2)
    assert [(each["topic_id"], each["note"]) for each in of_one.collect()] == [("id", None)]
