"""The way back from quarantine: a setting was wrong, is put right, and silver, gold and features are as if it always had been."""

from __future__ import annotations

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.events import Receipt
from contracts.features import SALES_ROLLING
from contracts.settings import Settings
from contracts.topics import partition_of
from lake import brokers, progress, schemas, silver_pass
from lake.decode import RAW
from lake.jobs import features, gold, requarantine
from lake.jobs import silver as job
from lake.months import Days
from lake.silver_audit import outcomes
from tests import lake_world
from tests.drills.lake_twins import comparable, differing
from tests.lake_world import Message
from tests.own_lake import own_lake

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

FIRST_DAY, DAYS, KAFKA_TIME_MS = dt.date(2024, 2, 25), 12, 1_712_000_000_000
DERIVED = (names.GOLD_DAILY, SALES_ROLLING.table)


@dataclass(slots=True)
class Returned:
    """A lake whose silver was made with a wrong number of partitions: many messages seem to be on another one than theirs."""

    session: SparkSession
    settings: Settings  # the right ones

    @property
    def wrong(self) -> Settings:
        return self.settings.model_copy(update={"topic_partitions": self.settings.topic_partitions + 2})

    def derive(self, *, full: bool = False) -> None:
        """Gold and the features: what is new, or everything."""
        gold.run(self.session, self.settings, full=full)
        features.run(self.session, self.settings, full=full)

    def count(self, table: str) -> int:
        return self.session.table(table).count()

    def has_every_message_once(self) -> bool:
        """Whether each stands in quarantine, or in the rest of silver, and not in both."""
        fates = outcomes(self.session, brokers.source_topics(self.settings)).withColumn("refused", sf.expr("fate = 'refused'"))
        return fates.select("topic", "partition", "offset", "refused").distinct().count() == self.count(names.BRONZE_EVENTS)


@pytest.fixture(scope="module")
def returned(settings: Settings) -> Iterator[Returned]:
    tag = uuid.uuid4().hex[:8]
    with own_lake(settings, tag) as session:
        schemas.create_if_missing(session)
        lake = Returned(session, settings.model_copy(update={"topic_prefix": f"back-{tag}."}))
        history = lake_world.history(first=FIRST_DAY, days=DAYS)
        sample = next(message.event for message in reversed(history) if isinstance(message.event, Receipt))
        _to_bronze(lake, [*history, *lake_world.faults(lake.settings, sample), *history[:40]])
        job.run(session, lake.wrong)
        lake.derive()
        yield lake


def test_what_is_accepted_now_is_in_silver_and_what_was_made_of_it(returned: Returned, tmp_path: Path) -> None:
    refused, lines = returned.count(names.SILVER_QUARANTINE), returned.count(names.SILVER_SALES)
    planned = requarantine.run(returned.session, returned.settings, dry_run=True)
    assert (returned.count(names.SILVER_QUARANTINE), returned.count(names.SILVER_SALES)) == (refused, lines)

    _killed_before_quarantine_is_replaced(returned)
    gold.run(returned.session, returned.settings)  # it may come between
    assert requarantine.run(returned.session, returned.settings, dry_run=True).rows_out == planned.rows_out
    done = requarantine.run(returned.session, returned.settings)
    returned.derive()

    assert (planned.rows_in, planned.rows_out, planned.rejected) == (done.rows_in, done.rows_out, done.rejected)
    assert done.detail["accepted_by_old_reason"] == planned.detail["accepted_by_old_reason"]
    assert all(reason.endswith(":misrouted") for reason in done.detail["accepted_by_old_reason"])
    assert len(done.detail["accepted_by_old_reason"]) >= 2  # receipts and stock, at least
    assert done.detail["unfinished_rows_removed"] > 0
    assert 0 < done.rejected == returned.count(names.SILVER_QUARANTINE) < refused
    assert returned.has_every_message_once()
    assert done.rows_out > 0
    _equal_when_made_anew(returned, tmp_path)


def test_another_time_changes_nothing(returned: Returned) -> None:
    before = {table.name: returned.count(table.name) for table in schemas.SILVER}
    again = requarantine.run(returned.session, returned.settings)
    assert (again.rows_out, again.detail["accepted_by_old_reason"]) == (0, {})
    assert again.rows_in == again.rejected == before[names.SILVER_QUARANTINE]
    assert {table.name: returned.count(table.name) for table in schemas.SILVER} == before


def test_silver_is_what_the_right_setting_makes_of_bronze(returned: Returned, tmp_path: Path) -> None:
    """Which message of an event came first may differ by the way, and with it where a line and its repetition stand."""
    place = ("partition", "offset")
    events = [table.name for table in schemas.SILVER_OF_KIND.values()]
    kept = {name: _copied(returned.session.table(name).drop(*place), tmp_path / name) for name in events}
    for table in schemas.SILVER:
        returned.session.sql(f"DELETE FROM {table.name}")
    progress.write(returned.session, schemas.SILVER_PROGRESS, {})
    job.run(returned.session, returned.settings)
    for name, rows in kept.items():
        assert differing(rows, comparable(returned.session.table(name).drop(*place))) == []


def test_rows_that_differ_are_found(returned: Returned) -> None:
    one = returned.session.createDataFrame([(1, "a"), (1, "a"), (2, None), (3, "c")], "n int, text string")
    other = returned.session.createDataFrame([(1, "a"), (2, None), (3, "d")], "n int, text string")
    found = {(row["n"], row["text"]): row["excess"] for row in differing(one, other)}
    assert found == {(1, "a"): 1, (3, "c"): 1, (3, "d"): -1}


def _killed_before_quarantine_is_replaced(returned: Returned) -> None:
    """What a run leaves that is killed at its last step."""
    append = silver_pass.append

    def stopped_after(*given: Any) -> None:
        append(*given)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(silver_pass, "append", stopped_after)
        with pytest.raises(KeyboardInterrupt):
            requarantine.run(returned.session, returned.settings)


def _equal_when_made_anew(returned: Returned, folder: Path) -> None:
    steps = {name: _copied(returned.session.table(name), folder / name) for name in DERIVED}
    assert all(rows.count() for rows in steps.values())
    returned.derive(full=True)
    assert _differing_from(steps, returned.session) == {}

    returned.session.sql(f"DELETE FROM {SALES_ROLLING.table} WHERE event_time < TIMESTAMP'2024-03-01'")
    assert _differing_from(steps, returned.session).keys() == {SALES_ROLLING.table}
    again = features.run(returned.session, returned.settings, days=Days(FIRST_DAY, FIRST_DAY))
    assert again.detail["months"] == ["2024-02"]
    assert _differing_from(steps, returned.session) == {}


def _differing_from(steps: Mapping[str, DataFrame], session: SparkSession) -> dict[str, int]:
    """How many rows of each table are not as they were, where any are not."""
    found = {name: len(differing(rows, comparable(session.table(name)))) for name, rows in steps.items()}
    return {name: rows for name, rows in found.items() if rows}


def _copied(rows: DataFrame, path: Path) -> DataFrame:
    comparable(rows).write.parquet(f"file:{path}")
    return rows.sparkSession.read.parquet(f"file:{path}")


def _to_bronze(lake: Returned, messages: list[Message]) -> None:
    following: dict[tuple[str, int], int] = defaultdict(int)
    rows = []
    for message in messages:
        topic = f"{lake.settings.topic_prefix}{message.kind}"
        partition = message.partition
        if partition is None:
            partition = partition_of(message.key or "", lake.settings.topic_partitions)
        key = None if message.key is None else message.key.encode()
        place = {"topic": topic, "partition": partition, "offset": following[topic, partition]}
        rows.append({**place, "kafka_time_ms": KAFKA_TIME_MS, "key": key, "value": message.value})
        following[topic, partition] += 1
    columns = {
        "kafka_time": sf.timestamp_millis("kafka_time_ms"),
        "ingest_time": sf.current_timestamp(),
        "headers": sf.lit(None).cast(dict(schemas.BRONZE_EVENTS.columns)["headers"]),
    }
    frame = lake.session.createDataFrame(pa.Table.from_pylist(rows, schema=RAW)).withColumns(columns)
    frame.select(*schemas.BRONZE_EVENTS.column_names).writeTo(names.BRONZE_EVENTS).append()
