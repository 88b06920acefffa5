"""Quality rules: each finds the fault that it is for, and every published table keeps the old rows of what breaks one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.errors import ConfigurationError, DataGateError
from contracts.features import SALES_ROLLING, STORE_ROLLING
from contracts.settings import Settings
from lake import brokers, progress, publication, quality_gate, schemas
from lake import gold as lake_gold
from lake import returns as lake_returns
from lake.jobs import actuals, bronze, calendar, features, gold, quality, reference, silver
from lake.jobs import run as line
from lake.publication import Draft
from lake.quality import BUILT_IN, Rule
from lake.quality_check import Finding, check
from lake.report import Stopwatch
from tests.own_lake import own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

FEBRUARY, MARCH, APRIL = (dt.date(2024, month, 1) for month in (2, 3, 4))
STORE, PRODUCT = "s-1", "p-1"
Plant = Callable[[DataFrame, Column], DataFrame]  # the rows, and where the fault goes


@dataclass(slots=True)
class Shop:
    """A lake where one product sells on days of two months, and the topic that its sales seem to come from."""

    session: SparkSession
    settings: Settings
    topic: str
    sent: int = 0

    def sell(self, *sold: tuple[dt.date, int]) -> None:
        """Puts lines of these days and quantities into silver, which has seen them then."""
        self.lines(sold).writeTo(names.SILVER_SALES).append()
        progress.write(self.session, schemas.SILVER_PROGRESS, {(self.topic, 0): self.sent + 1})

    def lines(self, sold: Sequence[tuple[dt.date, int]]) -> DataFrame:
        """Rows of silver.sales."""
        rows = [self._line(day, quantity) for day, quantity in sold]
        kinds = dict(schemas.SILVER_SALES.columns)
        given = ", ".join(f"`{name}` {kinds[name]}" for name in rows[0])
        lacking = {name: sf.lit(None).cast(kind) for name, kind in schemas.SILVER_SALES.columns if name not in rows[0]}
        frame = self.session.createDataFrame([tuple(row.values()) for row in rows], given).withColumns(lacking)
        return frame.select(*schemas.SILVER_SALES.column_names).coalesce(1)

    def months(self) -> dict[dt.date, tuple[int, int]]:
        """Rows and units of gold.daily by month."""
        month = sf.trunc("local_day", "MM").alias("month")
        found = (
            self.session.table(names.GOLD_DAILY).groupBy(month).agg(sf.count("*").alias("days"), sf.sum("units").alias("units"))
        )
        return {row["month"]: (row["days"], row["units"]) for row in found.collect()}

    def branches(self) -> set[tuple[str, str]]:
        """The branches of the published tables but main."""
        refs = ((table.name, self.session.table(f"{table.name}.refs")) for table in schemas.PUBLISHED)
        return {(name, row["name"]) for name, branches in refs for row in branches.where("name <> 'main'").collect()}

    def contents(self) -> dict[str, list[str]]:
        """The rows of every published table."""
        rows = {table.name: self.session.table(table.name).collect() for table in schemas.PUBLISHED}
        return {name: sorted(repr(row) for row in found) for name, found in rows.items()}

    def strict(self, path: Path, rules: Mapping[str, tuple[str, str]]) -> Settings:
        """Settings with rules of one's own: by name, about which table, and what it says as TOML."""
        texts = (
            f'[[rule]]\nname = "{name}"\ntable = "{table}"\n{said}\nwhy = "we say so"\n' for name, (table, said) in rules.items()
        )
        path.write_text("\n".join(texts), encoding="utf-8")
        return self.settings.model_copy(update={"quality_rules": path})

    def _line(self, day: dt.date, quantity: int) -> dict[str, Any]:
        at = dt.datetime.combine(day, dt.time(12), ZoneInfo(self.settings.time_zone))
        self.sent += 1
        return {
            "event_id": f"r-{self.sent}",
            "event_time": at,
            "event_time_ms": int(at.timestamp() * 1000),
            "store_id": STORE,
            "product_id": PRODUCT,
            "line_number": 0,
            "quantity": quantity,
            "unit_price": 100,
            "local_day": day,
            "topic": self.topic,
            "partition": 0,
            "offset": self.sent,
        }


@pytest.fixture(scope="module")
def shop(settings: Settings) -> Iterator[Shop]:
    tag = uuid.uuid4().hex[:8]
    own = settings.model_copy(update={"topic_prefix": f"quality-{tag}."})
    topic = next(topic for topic, kind in brokers.source_topics(own).items() if kind == "sales")
    with own_lake(settings, tag) as session:
        schemas.create_if_missing(session)
        shop = Shop(session, own, topic)
        shop.sell((MARCH, 2), (APRIL, 2), (APRIL + dt.timedelta(days=3), 2), (MARCH, -1), (APRIL, -1))
        gold.run(session, own)
        yield shop


def test_what_is_published_keeps_every_rule(shop: Shop) -> None:
    found = quality.run(shop.session, shop.settings)
    assert {finding.rule.name: finding.state for finding in found} == {rule.name: "ok" for rule in BUILT_IN}
    with psycopg.connect(shop.settings.postgres_url(names.POSTGRES_DATABASE)) as connection:
        query = (
            f"SELECT rule, state FROM {names.MART_QUALITY} WHERE checked_at = (SELECT max(checked_at) FROM {names.MART_QUALITY})"
        )
        assert dict(connection.execute(query).fetchall()) == {rule.name: "ok" for rule in BUILT_IN}


def _with(**changed: str) -> Plant:
    """The rows of that day with columns changed."""
    return lambda rows, there: rows.withColumns(
        {name: sf.when(there, sf.expr(sql)).otherwise(sf.col(name)) for name, sql in changed.items()}
    )


def _twice(rows: DataFrame, there: Column) -> DataFrame:
    return rows.unionByName(rows.where(there))


def _lacking(rows: DataFrame, there: Column) -> DataFrame:
    return rows.where(~there)


# What breaks each rule in one row of a month of its own, the first, the second and so on, on this day of it
PLANTED: dict[str, tuple[str, int, Plant]] = {
    "sales_quantity": (names.SILVER_SALES, 1, _with(quantity="0L")),
    "sales_price": (names.SILVER_SALES, 1, _with(unit_price="-1L")),
    "sales_time": (names.SILVER_SALES, 1, _with(event_time_ms="event_time_ms + 1")),
    "sales_near_local_day": (names.SILVER_SALES, 1, _with(local_day="date_add(local_day, 2)")),
    "sales_local_day": (names.SILVER_SALES, 1, _with(local_day="date_add(local_day, 1)")),
    "daily_not_negative": (names.GOLD_DAILY, 1, _with(returned_units="-1L")),
    "daily_sums_agree": (names.GOLD_DAILY, 1, _with(units="0L")),
    "daily_once": (names.GOLD_DAILY, 1, _twice),
    "daily_no_gap": (names.GOLD_DAILY, 2, _lacking),
    "daily_revenue": (names.GOLD_DAILY, 1, _with(sales_cents="sales_cents + 1")),
    "returns_agree": (names.GOLD_RETURNS, 3, _with(sale_event_id="null", link="'matched'")),
    "returns_complete": (names.GOLD_RETURNS, 3, _lacking),
}
MONTHS = {name: dt.date(2023, number, 1) for number, name in enumerate(PLANTED, start=1)}
DAYS_A_MONTH = 5  # sold on the first ones; the others are rows of zeros


def _year(shop: Shop) -> dict[str, DataFrame]:
    """Rows of a month for each rule, as they should be, made beside the lake."""
    days = [month + dt.timedelta(days=number) for month in MONTHS.values() for number in range(DAYS_A_MONTH)]
    sales = shop.lines([*((day, 2) for day in days), *((month + dt.timedelta(days=2), -1) for month in MONTHS.values())])
    sales = sales.localCheckpoint()
    stock, prices = (shop.session.table(table) for table in (names.SILVER_INVENTORY, names.SILVER_PRICES))  # there are none
    latest_ms = sales.agg(sf.max("event_time_ms")).collect()[0][0]
    daily = lake_gold.daily(sales, stock, prices, shop.settings, sf.lit(min(days)), latest_ms)
    given_back = lake_returns.returns(sales, sf.lit(True))
    return {
        names.SILVER_SALES: sales,
        names.GOLD_DAILY: daily.localCheckpoint(),
        names.GOLD_RETURNS: given_back.localCheckpoint(),
    }


def test_every_rule_finds_the_fault_that_it_is_for_with_its_month_and_its_rows(shop: Shop) -> None:
    assert set(PLANTED) == {rule.name for rule in BUILT_IN}
    rows = _year(shop)
    for name, (table, day, plant) in PLANTED.items():
        there = sf.col("local_day") == sf.lit(MONTHS[name].replace(day=day))
        rows[table] = plant(rows[table], there)
    many = Rule("nothing_sold", names.SILVER_SALES, "nothing is sold", holds="null")
    found = {finding.rule.name: finding for finding in check((*BUILT_IN, many), rows, shop.settings)}

    for name, month in MONTHS.items():
        assert found[name].months[month] == 1, name
        assert any(STORE in example and f"{month:%Y-%m}" in example for example in found[name].examples), name
        assert found[name].state == next(rule.severity for rule in BUILT_IN if rule.name == name)
    assert found["nothing_sold"].months == dict.fromkeys(MONTHS.values(), DAYS_A_MONTH + 1)
    assert len(found["nothing_sold"].examples) == 3 * len(MONTHS)
    of_one_kind = {name: set(found[name].months) for name in ("sales_quantity", "sales_time", "daily_once", "returns_agree")}
    assert of_one_kind == {name: {MONTHS[name]} for name in of_one_kind}  # no rule finds another's


@pytest.mark.parametrize("sql", [{"holds": "no_such_column > 0"}, {"holds": "quantity >"}, {"faults": "SELECT * FROM {nothing}"}])
def test_a_rule_that_is_no_sql_of_its_table_is_refused(shop: Shop, sql: dict[str, str]) -> None:
    lines = shop.session.table(names.SILVER_SALES)
    with pytest.raises(ConfigurationError, match="own_rule"):
        check([Rule("own_rule", names.SILVER_SALES, "a slip", **sql)], {names.SILVER_SALES: lines}, shop.settings)


def test_a_month_that_breaks_a_rule_keeps_its_old_rows_until_it_does_not(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's rule here: it is judged as the built-in ones are."""
    strict = shop.strict(tmp_path / "rules.toml", {"small": (names.GOLD_DAILY, 'holds = "units < 50"')})
    before = shop.months()
    seen = progress.read(shop.session, schemas.GOLD_PROGRESS)
    shop.sell((MARCH, 60), (APRIL, 3))
    waiting = {finding.rule.name for finding in quality.run(shop.session, shop.settings, names.GOLD_DAILY) if finding.waiting}

    with pytest.raises(DataGateError, match="2024-03") as stopped:
        gold.run(shop.session, strict)
    held = {MARCH: before[MARCH], APRIL: (before[APRIL][0], before[APRIL][1] + 3)}
    assert waiting == {"daily_revenue"}
    assert "small" in stopped.value.why
    assert '"local_day":"2024-03-01"' in stopped.value.why
    assert "2024-04" not in stopped.value.why
    assert shop.months() == held
    assert progress.read(shop.session, schemas.GOLD_PROGRESS) == seen

    _killed_before_it_publishes(shop)  # nothing new came, and it is tried again
    assert shop.months() == held
    assert progress.read(shop.session, schemas.GOLD_PROGRESS) == seen
    left = {(name, publication.BRANCH) for name in (names.GOLD_DAILY, names.GOLD_RETURNS)}
    assert shop.branches() == left  # by the killed run

    with monkeypatch.context() as patch:
        patch.setattr(quality_gate, "check", _while_somebody_writes(shop))
        gold.run(shop.session, shop.settings)
    steps = shop.months()
    assert steps == {FEBRUARY: (1, 7), MARCH: (before[MARCH][0], before[MARCH][1] + 60), APRIL: held[APRIL]}
    assert progress.read(shop.session, schemas.GOLD_PROGRESS) != seen
    assert not shop.branches()

    with pytest.raises(DataGateError):
        gold.run(shop.session, strict, full=True)
    assert shop.months() == {MARCH: steps[MARCH], APRIL: steps[APRIL]}  # no event is of February
    assert gold.first_changed_day(shop.session, shop.settings, None)[1] == MARCH  # the next run makes all of it


def _killed_before_it_publishes(shop: Shop) -> None:
    """What a run leaves that ends between the writing of its drafts and their publication: nothing after that is done."""

    def ended(*_: object) -> None:
        patch.setattr(publication, "discard", ended)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication, "publish", ended)
        with pytest.raises(KeyboardInterrupt):
            gold.run(shop.session, shop.settings)


def _while_somebody_writes(shop: Shop) -> Callable[..., list[Finding]]:
    """The check, during which a row of another month comes into the published table: main is no more what the draft began at."""

    def checked(*given: Any) -> list[Finding]:
        row = shop.session.table(names.GOLD_DAILY).where(sf.col("local_day") == sf.lit(APRIL))
        foreign = row.withColumns({"local_day": sf.lit(FEBRUARY), "units": sf.lit(7).cast("bigint")})
        foreign.writeTo(names.GOLD_DAILY).append()
        return check(*given)

    return checked


def test_a_rule_about_silver_holds_back_what_gold_makes_of_it(shop: Shop, tmp_path: Path) -> None:
    """The line itself stays where it is: silver has what the contract accepts."""
    strict = shop.strict(tmp_path / "rules.toml", {"few": (names.SILVER_SALES, 'holds = "quantity < 70"')})
    gold.run(shop.session, shop.settings)
    before = shop.months()
    shop.sell((MARCH, 75), (APRIL, 1))

    with pytest.raises(DataGateError, match="2024-03") as stopped:
        gold.run(shop.session, strict)
    assert "few (2024-03: 1)" in stopped.value.why
    assert shop.months() == {MARCH: before[MARCH], APRIL: (before[APRIL][0], before[APRIL][1] + 1)}


def _forecast(shop: Shop, *target_days: dt.date) -> None:
    """Has the nightly scoring say something of these days."""
    as_of = dt.datetime.combine(MARCH, dt.time(), ZoneInfo(shop.settings.time_zone))
    said = {"model_name": "m", "model_version": "1", "store_id": STORE, "product_id": PRODUCT, "mean": 1.0}
    said |= {"as_of": as_of, "as_of_ms": int(as_of.timestamp() * 1000)}
    kinds = dict(schemas.GOLD_FORECASTS.columns)
    given = ", ".join(f"{name} {kinds[name]}" for name in (*said, "target_day"))
    rows = shop.session.createDataFrame([(*said.values(), day) for day in target_days], given)
    lacking = {name: sf.lit(None).cast(kind) for name, kind in schemas.GOLD_FORECASTS.columns if name not in rows.columns}
    rows.withColumns(lacking).select(*schemas.GOLD_FORECASTS.column_names).writeTo(names.GOLD_FORECASTS).append()


def _units(shop: Shop, table: str, day: str, units: str) -> dict[dt.date, float]:
    """The greatest number of units of each month of a table."""
    of_month = shop.session.table(table).groupBy(sf.trunc(day, "MM").alias("month")).agg(sf.max(units).alias("units"))
    return {row["month"]: row["units"] for row in of_month.collect()}


def _drafted(patch: pytest.MonkeyPatch) -> set[str]:
    """The tables of which a branch is made from now on."""
    seen, drafts = set[str](), publication.drafts

    def noted(
        session: SparkSession, outputs: Mapping[str, DataFrame], replaced: Column
    ) -> AbstractContextManager[dict[str, Draft]]:
        seen.update(outputs)
        return drafts(session, outputs, replaced)

    patch.setattr(publication, "drafts", noted)
    return seen


def test_months_of_other_tables_are_held_back_too_and_come_once_the_rule_holds(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What holds back one of the line's last steps does not keep the other from what it may publish."""
    for earlier in (bronze, silver):  # the sales are in silver already
        monkeypatch.setattr(earlier, "run", lambda *_, **__: Stopwatch("earlier").report(0, 0))
    drafted = _drafted(monkeypatch)
    _forecast(shop, MARCH, APRIL)
    list(line.run(shop.session, shop.settings))
    assert drafted == {names.GOLD_DAILY, names.GOLD_RETURNS}  # no rule can stop another table

    columns = {
        names.GOLD_FORECAST_ACTUAL: ("target_day", "units"),
        SALES_ROLLING.table: ("event_time", "units_7d"),
        STORE_ROLLING.table: ("event_time", "store_units_7d"),
    }
    before = {table: _units(shop, table, *of) for table, of in columns.items()}
    strict = shop.strict(
        tmp_path / "rules.toml",
        {
            "few_came": (names.GOLD_FORECAST_ACTUAL, "holds = \"target_day < DATE '2024-04-01' OR units < 250\""),
            "few_sold": (SALES_ROLLING.table, "holds = \"event_time < TIMESTAMP '2024-04-01' OR units_7d < 250\""),
        },
    )
    seen = progress.read(shop.session, schemas.FEATURES_PROGRESS)
    taken_in = shop.session.table(schemas.FORECAST_ACTUAL_PROGRESS).collect()
    shop.sell((MARCH, 300), (APRIL, 300))
    with pytest.raises(DataGateError) as stopped:
        list(line.run(shop.session, strict))

    assert f"{names.GOLD_FORECAST_ACTUAL} of 2024-04" in stopped.value.what
    assert f"{SALES_ROLLING.table} of 2024-04" in stopped.value.what
    assert "few_came (2024-04: 1)" in stopped.value.why
    assert "few_sold (2024-04: " in stopped.value.why
    new = {table: {month: units + 300 for month, units in of.items()} for table, of in before.items()}
    assert {table: _units(shop, table, *of) for table, of in columns.items()} == {
        names.GOLD_FORECAST_ACTUAL: new[names.GOLD_FORECAST_ACTUAL] | {APRIL: before[names.GOLD_FORECAST_ACTUAL][APRIL]},
        SALES_ROLLING.table: new[SALES_ROLLING.table] | {APRIL: before[SALES_ROLLING.table][APRIL]},
        STORE_ROLLING.table: new[STORE_ROLLING.table],
    }
    assert not shop.branches()
    assert progress.read(shop.session, schemas.FEATURES_PROGRESS) == seen
    assert shop.session.table(schemas.FORECAST_ACTUAL_PROGRESS).collect() == taken_in

    list(line.run(shop.session, shop.settings))  # no new event has come
    assert {table: _units(shop, table, *of) for table, of in columns.items()} == new
    assert progress.read(shop.session, schemas.FEATURES_PROGRESS) != seen


def test_every_published_table_keeps_its_rows_where_a_rule_stops_it(shop: Shop, tmp_path: Path) -> None:
    """A fault of no month holds back all of them; of a table that has no months, it is all or nothing always."""
    tag = uuid.uuid4().hex[:8]
    rules = {f"{tag} {table.name}": (table.name, "faults = \"SELECT 'no' AS said\"") for table in schemas.PUBLISHED}
    strict = shop.strict(tmp_path / "rules.toml", rules)
    holidays = tmp_path / "holidays.csv"
    holidays.write_text("day,name\n2024-03-05,Fair\n", encoding="utf-8")
    pq.write_table(pa.table({"product_id": [PRODUCT], "pack_size": [6]}), tmp_path / "products.parquet")
    pq.write_table(pa.table({"store_id": [STORE], "region": ["north"]}), tmp_path / "stores.parquet")
    jobs: dict[str, Callable[[Settings], object]] = {
        "gold": lambda settings: gold.run(shop.session, settings),
        "actuals": lambda settings: actuals.run(shop.session, settings),
        "features": lambda settings: features.run(shop.session, settings),
        "calendar": lambda settings: calendar.run(shop.session, settings, holidays),
        "reference": lambda settings: reference.run(shop.session, settings, tmp_path),
    }
    for job in jobs.values():  # all but the loads of this test
        if job not in (jobs["calendar"], jobs["reference"]):
            job(shop.settings)
    before = shop.contents()
    shop.sell((MARCH, 2), (MARCH, -1), (APRIL, 2))
    _forecast(shop, MARCH + dt.timedelta(days=1))

    said = ""
    for job in jobs.values():
        with pytest.raises(DataGateError) as stopped:
            job(strict)
        said += f"{stopped.value.what} "
    assert {table.name for table in schemas.PUBLISHED if table.name not in said} == set()
    assert shop.contents() == before
    assert not shop.branches()
    with psycopg.connect(shop.settings.postgres_url(names.POSTGRES_DATABASE)) as connection:
        query = f"SELECT DISTINCT table_name FROM {names.MART_QUALITY} WHERE state = 'stop' AND rule LIKE %s"
        logged = {row[0] for row in connection.execute(query, (f"{tag}%",)).fetchall()}
    assert logged == {table.name for table in schemas.PUBLISHED}

    for job in jobs.values():
        job(shop.settings)
    after = shop.contents()
    same = {name for name, rows in after.items() if rows == before[name]}
    assert same == {name for name, rows in after.items() if not rows}  # those of which this shop has none
