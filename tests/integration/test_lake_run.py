"""The whole line in one session where gold holds a month back, or cannot be made: what goes on, what waits, and how it ends."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer
from pyspark.sql import SparkSession

from contracts import tables as names
from contracts.errors import DataGateError
from contracts.events import Event, ForecastDay, ForecastServed, Receipt, ReceiptLine, encode
from contracts.features import PRODUCT as PRODUCT_VIEW
from contracts.settings import Settings
from contracts.topics import FORECASTS, SALES, Topic
from lake import progress, schemas
from lake.jobs import run as line
from lake.quality_gate import HeldBack
from streams.declare import declare
from tests.lake_store import lost
from tests.own_lake import own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

STORE, PRODUCT = "s-1", "p-1"
MARCH, APRIL = dt.datetime(2024, 3, 4, 12, tzinfo=dt.UTC), dt.datetime(2024, 4, 4, 12, tzinfo=dt.UTC)


@dataclass(slots=True)
class Line:
    """A lake and topics of this test alone, under a rule by which no day sells 50 units."""

    session: SparkSession
    settings: Settings
    strict: Settings

    def send(self, topic: Topic, event: Event) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka})
        producer.produce(topic.name(self.settings.topic_prefix), key=STORE, value=encode(event))
        assert producer.flush(30) == 0

    def sell(self, at: dt.datetime, units: int) -> None:
        self.send(SALES, Receipt(uuid.uuid4().hex, ms(at), STORE, "pos", (ReceiptLine(PRODUCT, units, 100, 100),)))

    def forecast(self, made: dt.datetime, of: dt.date) -> None:
        days = (ForecastDay(of, 5.0, {"0.5": 5.0}),)
        event = ForecastServed(uuid.uuid4().hex, ms(made) + 1, STORE, PRODUCT, ms(made), "demand", "1", None, None, days)
        self.send(FORECASTS, event)

    def errors(self) -> dict[dt.date, float | None]:
        """The error of each judged forecast, by its target day."""
        return {row["target_day"]: row["error"] for row in self.session.table(names.GOLD_FORECAST_ACTUAL).collect()}


def ms(instant: dt.datetime) -> int:
    return int(instant.timestamp() * 1000)


@pytest.fixture
def shop(settings: Settings, tmp_path: Path) -> Iterator[Line]:
    tag = uuid.uuid4().hex[:8]
    rules = tmp_path / "rules.toml"
    rules.write_text(
        f'[[rule]]\nname = "small"\ntable = "{names.GOLD_DAILY}"\nholds = "units < 50"\nwhy = "no day sells that much"\n',
        encoding="utf-8",
    )
    own = settings.model_copy(update={"home": tmp_path, "topic_prefix": f"run-{tag}.", "topic_partitions": 1})
    declare(own)
    with own_lake(settings, tag) as session:
        yield Line(session, own, own.model_copy(update={"quality_rules": rules}))


def test_where_a_month_is_held_back_forecasts_are_judged_and_features_wait_until_it_is_published(shop: Line) -> None:
    for day in range(3):
        shop.sell(MARCH + dt.timedelta(days=day), 2)
        shop.sell(APRIL + dt.timedelta(days=day), 2)
    assert [report.job for report in line.run(shop.session, shop.strict)] == ["bronze", "silver", "gold", "actuals", "features"]
    seen = progress.read(shop.session, schemas.FEATURES_PROGRESS)
    features = shop.session.table("lake.gold.sales_rolling").count()

    shop.sell(APRIL + dt.timedelta(days=4), 60)
    shop.sell(MARCH + dt.timedelta(days=1), 1)
    shop.forecast(MARCH, MARCH.date() + dt.timedelta(days=1))
    done: list[str] = []
    with pytest.raises(HeldBack, match=f"{names.GOLD_DAILY}, {names.GOLD_RETURNS} of 2024-04"):
        done.extend(report.job for report in line.run(shop.session, shop.strict))  # keeps those that ended before

    assert done == ["bronze", "silver", "actuals"]
    assert shop.errors() == {MARCH.date() + dt.timedelta(days=1): 2.0}  # against the 3 units that gold has published of March
    assert progress.read(shop.session, schemas.FEATURES_PROGRESS) == seen
    assert shop.session.table("lake.gold.sales_rolling").count() == features

    assert [report.job for report in line.run(shop.session, shop.settings)][-1] == "features"
    assert progress.read(shop.session, schemas.FEATURES_PROGRESS) != seen
    assert shop.session.table("lake.gold.sales_rolling").count() > features


def test_where_gold_cannot_be_made_the_line_ends_with_the_reason_and_no_forecast_is_judged(shop: Line) -> None:
    for day in range(3):
        shop.sell(MARCH + dt.timedelta(days=day), 2)
    list(line.run(shop.session, shop.strict))

    shop.sell(MARCH + dt.timedelta(days=1), 1)
    shop.forecast(MARCH, MARCH.date() + dt.timedelta(days=1))
    done: list[str] = []
    master_data = shop.session.table(f"{PRODUCT_VIEW.table}.data_files").collect()[0]["file_path"]
    with (
        lost(shop.settings, master_data),
        pytest.raises(DataGateError, match="A file of the lake is gone while making gold") as ended,
    ):
        done.extend(report.job for report in line.run(shop.session, shop.strict))  # keeps those that ended before

    assert done == ["bronze", "silver"]
    assert master_data in ended.value.why
    assert shop.errors() == {}

    assert [report.job for report in line.run(shop.session, shop.strict)][-1] == "features"
    assert shop.errors() == {MARCH.date() + dt.timedelta(days=1): 2.0}
