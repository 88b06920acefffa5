"""Quality rules: each finds the fault that it is for, and gold keeps the old rows of a month that breaks one."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.errors import ConfigurationError, DataGateError
from contracts.settings import Settings
from lake import brokers, progress, schemas
from lake.jobs import gold, quality
from lake.quality import BUILT_IN, Rule
from lake.quality_check import check
from tests.own_lake import own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

MARCH, APRIL = dt.date(2024, 3, 1), dt.date(2024, 4, 1)
STORE, PRODUCT = "s-1", "p-1"
CHECKED = (schemas.SILVER_SALES, schemas.GOLD_DAILY, schemas.GOLD_RETURNS)
Plant = Callable[[DataFrame], DataFrame]


@dataclass(slots=True)
class Shop:
    """A lake where one product sells on each day of two months, and the topic that its sales seem to come from."""

    session: SparkSession
    settings: Settings
    topic: str
    sent: int = 0

    def sell(self, *days: dt.date, quantity: int = 2) -> None:
        rows = [self._line(day, quantity) for day in days]
        kinds = dict(schemas.SILVER_SALES.columns)
        given = ", ".join(f"`{name}` {kinds[name]}" for name in rows[0])
        lacking = {name: sf.lit(None).cast(kind) for name, kind in schemas.SILVER_SALES.columns if name not in rows[0]}
        frame = self.session.createDataFrame([tuple(row.values()) for row in rows], given).withColumns(lacking)
        frame.select(*schemas.SILVER_SALES.column_names).writeTo(names.SILVER_SALES).append()

    def months(self) -> dict[dt.date, tuple[int, int]]:
        """Rows and units of gold.daily by month."""
        month = sf.trunc("local_day", "MM").alias("month")
        found = (
            self.session.table(names.GOLD_DAILY).groupBy(month).agg(sf.count("*").alias("days"), sf.sum("units").alias("units"))
        )
        return {row["month"]: (row["days"], row["units"]) for row in found.collect()}

    def rows(self) -> dict[str, DataFrame]:
        return {table.name: self.session.table(table.name) for table in CHECKED}

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
        shop.sell(*(MARCH + dt.timedelta(days=number) for number in range(61)))
        shop.sell(MARCH, APRIL, quantity=-1)
        _seen_by_silver(shop)
        gold.run(session, own)
        yield shop


def _seen_by_silver(shop: Shop) -> None:
    progress.write(shop.session, schemas.SILVER_PROGRESS, {(shop.topic, 0): shop.sent + 1})


def _first(rows: DataFrame) -> DataFrame:
    return rows.orderBy("local_day", "event_id" if "event_id" in rows.columns else "product_id").limit(1)


def _with(**changed: str) -> Plant:
    """One row more: the first, with columns changed."""
    return lambda rows: rows.unionByName(_first(rows).withColumns({name: sf.expr(sql) for name, sql in changed.items()}))


PLANTED: dict[str, tuple[str, Plant]] = {
    "sales_quantity": (names.SILVER_SALES, _with(quantity="0L")),
    "sales_price": (names.SILVER_SALES, _with(unit_price="-1L")),
    "sales_time": (names.SILVER_SALES, _with(event_time_ms="event_time_ms + 1")),
    "sales_near_local_day": (names.SILVER_SALES, _with(local_day="date_add(local_day, 2)")),
    "sales_local_day": (names.SILVER_SALES, _with(local_day="date_add(local_day, 1)")),
    "daily_not_negative": (names.GOLD_DAILY, _with(returned_units="-1L")),
    "daily_sums_agree": (names.GOLD_DAILY, _with(units="0L")),
    "daily_once": (names.GOLD_DAILY, _with()),
    "daily_no_gap": (names.GOLD_DAILY, lambda rows: rows.where("local_day <> DATE'2024-03-10'")),
    "daily_revenue": (names.GOLD_DAILY, lambda rows: rows.where("local_day <> DATE'2024-03-31'")),
    "returns_agree": (names.GOLD_RETURNS, _with(sale_event_id="null", link="'named'")),
}


def test_every_rule_has_a_planted_fault() -> None:
    assert set(PLANTED) == {rule.name for rule in BUILT_IN}


def test_what_is_published_keeps_every_rule(shop: Shop) -> None:
    found = quality.run(shop.session, shop.settings)
    assert {finding.rule.name: finding.state for finding in found} == {rule.name: "ok" for rule in BUILT_IN}
    with psycopg.connect(shop.settings.postgres_url(names.POSTGRES_DATABASE)) as connection:
        query = (
            f"SELECT rule, state FROM {names.MART_QUALITY} WHERE checked_at = (SELECT max(checked_at) FROM {names.MART_QUALITY})"
        )
        assert dict(connection.execute(query).fetchall()) == {rule.name: "ok" for rule in BUILT_IN}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found_with_its_month_and_its_row(shop: Shop, name: str) -> None:
    table, plant = PLANTED[name]
    rows = shop.rows()
    found = {finding.rule.name: finding for finding in check(BUILT_IN, rows | {table: plant(rows[table])}, shop.settings)}

    assert found[name].months == {MARCH: 1}
    assert STORE in found[name].examples[0]
    assert found[name].state == next(rule.severity for rule in BUILT_IN if rule.name == name)


def test_the_first_rows_of_many_are_named(shop: Shop) -> None:
    own = Rule("none", names.SILVER_SALES, "nothing is sold", holds="null")
    (found,) = check([own], shop.rows(), shop.settings)
    assert (sum(found.months.values()), found.months[MARCH], len(found.examples)) == (63, 32, 6)


@pytest.mark.parametrize("sql", [{"holds": "no_such_column > 0"}, {"holds": "quantity >"}, {"faults": "SELECT * FROM {nothing}"}])
def test_a_rule_that_is_no_sql_of_its_table_is_refused(shop: Shop, sql: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="own_rule"):
        check([Rule("own_rule", names.SILVER_SALES, "a slip", **sql)], shop.rows(), shop.settings)


def test_a_month_that_breaks_a_rule_keeps_its_old_rows_until_it_does_not(shop: Shop, tmp_path: Path) -> None:
    """A user's rule here: it is judged as the built-in ones are."""
    path = tmp_path / "rules.toml"
    path.write_text(
        f'[[rule]]\nname = "small"\ntable = "{names.GOLD_DAILY}"\nholds = "units < 50"\nwhy = "no day sells that much"\n',
        encoding="utf-8",
    )
    strict = shop.settings.model_copy(update={"quality_rules": path})
    before = shop.months()
    seen = progress.read(shop.session, schemas.GOLD_PROGRESS)
    shop.sell(MARCH, quantity=60)
    shop.sell(APRIL, quantity=3)
    _seen_by_silver(shop)
    waiting = {finding.rule.name for finding in quality.run(shop.session, shop.settings) if finding.waiting}

    with pytest.raises(DataGateError, match="2024-03") as stopped:
        gold.run(shop.session, strict)
    assert waiting == {"daily_revenue"}
    assert "small" in stopped.value.why
    assert '"local_day":"2024-03-01"' in stopped.value.why
    assert "2024-04" not in stopped.value.why
    assert shop.months() == {MARCH: before[MARCH], APRIL: (before[APRIL][0], before[APRIL][1] + 3)}
    assert progress.read(shop.session, schemas.GOLD_PROGRESS) == seen

    with pytest.raises(DataGateError):  # nothing new came, and it is tried again
        gold.run(shop.session, strict)
    gold.run(shop.session, shop.settings)
    steps = shop.months()
    assert steps[MARCH] == (before[MARCH][0], before[MARCH][1] + 60)
    assert progress.read(shop.session, schemas.GOLD_PROGRESS) != seen

    with pytest.raises(DataGateError):
        gold.run(shop.session, strict, full=True)
    assert gold.run(shop.session, shop.settings).rows_out == sum(days for days, _ in steps.values())
    assert shop.months() == steps
