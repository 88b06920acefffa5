"""The lake after something of it came back older: the catalog's database, one table, a checkpoint; and after files went.

Restoring a dump of the catalog gives each table the metadata file that it had then. Kafka and the store stay as they are.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from contracts import tables as names
from contracts.errors import DataGateError, DependencyUnavailable
from contracts.events import Receipt
from contracts.settings import Settings
from contracts.spark_conf import CATALOG_DATABASE
from lake import bronze as bronze_core
from lake import schemas, silver_pass
from lake.database import LOCK_SPACE, lock_number, sole_writer
from lake.jobs import audit, bronze, gold, silver
from lake.report import JobReport
from lake.table import Table
from lake.tables import as_it_stands
from streams.declare import declare
from tests import lake_world
from tests.drills.lake_twins import OF_THE_MAKING
from tests.lake_catalog import Locations, locations, set_back
from tests.lake_store import lost
from tests.lake_world import World
from tests.own_lake import own_lake
from tests.own_servers import Postgres, Server, own_place, running

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

DAYS = 4
TO_SILVER = (schemas.BRONZE_EVENTS, *schemas.SILVER, *schemas.PROGRESS[:1])
GOLD = (schemas.GOLD_DAILY, schemas.GOLD_RETURNS, *schemas.PROGRESS[1:])
Rows = dict[str, list[str]]


@dataclass(slots=True)
class Lake:
    """A lake of its own, filled by two runs of bronze and silver.

    `older` is its catalog after the first run, `newer` its catalog and `whole` its rows after the second.
    """

    session: SparkSession
    settings: Settings
    catalog: str
    older: Locations = field(default_factory=dict)
    newer: Locations = field(default_factory=dict)
    whole: Rows = field(default_factory=dict)

    def to_silver(self) -> dict[str, JobReport]:
        """Bronze and silver, once."""
        return {report.job: report for report in (job(self.session, self.settings) for job in (bronze.run, silver.run))}

    def rows(self, of: Sequence[Table]) -> Rows:
        """All rows of these tables, without times of computing."""
        found = {}
        for table in of:
            kept = [name for name in table.column_names if name not in OF_THE_MAKING]
            found[table.name] = sorted(repr(row) for row in self.session.table(table.name).select(*kept).collect())
        return found

    def differing(self, of: Sequence[Table] = TO_SILVER) -> list[str]:
        """Those of these tables whose rows are not those of after the second run."""
        return [table for table, rows in self.rows(of).items() if rows != self.whole[table]]

    def set_back(self, *tables: str) -> None:
        """Gives these tables, or all of them, the state that they had after the first run."""
        set_back(self.settings, {name: self.older[name] for name in tables or self.older}, self.catalog)

    def faults(self) -> list[str]:
        """What the audit finds."""
        return audit.run(self.session, self.settings).faults


@pytest.fixture(scope="module")
def lake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    tag = uuid.uuid4().hex[:8]
    own = settings.model_copy(update={"home": tmp_path_factory.mktemp("restored"), "topic_prefix": f"restored-{tag}."})
    declare(own)
    history = lake_world.history(days=DAYS)
    receipts = [m.event for m in history if isinstance(m.event, Receipt)]
    world, middle = World(), len(history) // 2
    with own_lake(settings, tag) as session:
        made = Lake(session, own, f"lake_{tag}")
        world.send(own, [*history[:middle], *lake_world.faults(own, receipts[0]), *map(lake_world.repeated, receipts[:9:3])])
        made.to_silver()
        schemas.create_if_missing(session)  # gold is there, and has seen nothing yet
        made.older = locations(own, made.catalog)
        world.send(own, [*history[middle:], *lake_world.faults(own, receipts[-1]), *map(lake_world.repeated, receipts[:9:2])])
        made.to_silver()
        made.newer, made.whole = locations(own, made.catalog), made.rows(TO_SILVER)
        yield made


def test_the_catalog_of_before_the_last_run_is_caught_up_with_from_kafka(lake: Lake) -> None:
    gold.run(lake.session, lake.settings)
    lake.whole |= lake.rows(GOLD)
    lake.set_back()
    reports = lake.to_silver()
    gold.run(lake.session, lake.settings)

    assert reports["bronze"].rows_out > 0
    assert reports["bronze"].detail["checkpoint_discarded"]  # it was newer than bronze
    assert lake.differing((*TO_SILVER, *GOLD)) == []
    assert lake.faults() == []


def test_bronze_older_than_what_silver_has_seen_is_read_again_and_silver_takes_nothing_twice(lake: Lake) -> None:
    lake.set_back(names.BRONZE_EVENTS)
    read, made = bronze.run(lake.session, lake.settings), silver.run(lake.session, lake.settings)

    assert read.detail["read_again"] == read.rows_out > 0
    assert made.rows_in == 0
    assert lake.differing() == []


def test_progress_older_than_silver_makes_silver_remove_and_make_again(lake: Lake) -> None:
    lake.set_back(schemas.SILVER_PROGRESS)
    made = silver.run(lake.session, lake.settings)

    assert made.detail["unfinished_rows_removed"] > 0
    assert lake.differing() == []


def test_a_table_of_silver_older_than_its_progress_is_named_by_the_audit_and_healed_without_the_progress(lake: Lake) -> None:
    lake.set_back(names.SILVER_SALES)
    silver.run(lake.session, lake.settings)
    assert lake.faults() != []

    lake.session.sql(f"DELETE FROM {schemas.SILVER_PROGRESS}")
    silver.run(lake.session, lake.settings)
    assert lake.differing() == []


def test_a_run_whose_lock_went_with_its_connection_ends_before_its_progress_and_the_next_one_heals(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = silver_pass.write

    def write_and_lose_the_lock(*given: Any) -> silver_pass.Counts:
        counts = write(*given)
        assert end_of_holders(lake.settings, "lake silver") == 1
        return counts

    lake.set_back(schemas.SILVER_PROGRESS)
    with monkeypatch.context() as patch:
        patch.setattr(silver_pass, "write", write_and_lose_the_lock)
        with pytest.raises(DependencyUnavailable, match="The lock of lake silver is lost"):
            silver.run(lake.session, lake.settings)
    assert lake.differing(schemas.PROGRESS[:1]) == [schemas.SILVER_PROGRESS]

    silver.run(lake.session, lake.settings)
    assert lake.differing() == []


def test_a_restart_of_postgresql_ends_a_query_that_writes_and_lets_another_writer_in(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    with own_postgres(settings) as (server, own):
        rate = lake.session.readStream.format("rate").load()
        query = rate.writeStream.format("noop").option("checkpointLocation", str(tmp_path / "checkpoint")).start()
        restart = Thread(target=restarted, args=[server])
        with pytest.raises(DependencyUnavailable, match="The lock of lake bronze is lost"):  # at the end of the block, too
            write_through_a_restart(own, query, restart)
        assert not query.isActive


def test_a_metadata_file_that_is_gone_is_named(lake: Lake) -> None:
    older = lake.older[names.SILVER_PRICES]
    lake.set_back(names.SILVER_PRICES)
    with lost(lake.settings, older), pytest.raises(DataGateError, match="A file of the lake is gone") as caught:
        silver.run(lake.session, lake.settings)
    set_back(lake.settings, {names.SILVER_PRICES: lake.newer[names.SILVER_PRICES]}, lake.catalog)

    assert older in caught.value.why
    assert "Restoring" in caught.value.hint


def test_a_data_file_that_is_gone_is_named(lake: Lake) -> None:
    file = lake.session.table(f"{names.SILVER_SALES}.data_files").select("file_path").collect()[0]["file_path"]
    with lost(lake.settings, file), pytest.raises(DataGateError, match="A file of the lake is gone") as caught:
        gold.run(lake.session, lake.settings, full=True)

    assert file in caught.value.why


def test_a_snapshot_that_expires_under_a_job_is_named_and_the_next_run_goes_on(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    gold.run(lake.session, lake.settings, full=True)
    before = lake.rows(GOLD)

    def pinned_and_gone(session: SparkSession, table: Table) -> DataFrame:
        rows = as_it_stands(session, table)
        if table.name == names.SILVER_SALES:
            expire_all_but_the_next(session, table.name)
        return rows

    with monkeypatch.context() as patch:
        patch.setattr(gold, "as_it_stands", pinned_and_gone)
        with pytest.raises(DataGateError, match="A file of the lake is gone") as caught:
            gold.run(lake.session, lake.settings, full=True)
    assert "run it again" in caught.value.hint

    gold.run(lake.session, lake.settings, full=True)
    assert lake.rows(GOLD) == before


def restarted(server: Server) -> None:
    server.stop()
    server.start()


def expire_all_but_the_next(session: SparkSession, table: str) -> None:
    """Writes a table anew, and expires what it was before: further than maintenance goes."""
    system, name = f"{names.CATALOG}.system", table.removeprefix(f"{names.CATALOG}.")
    session.sql(f"CALL {system}.rewrite_data_files(table => '{name}', options => map('rewrite-all', 'true'))").collect()
    session.sql(
        f"CALL {system}.expire_snapshots(table => '{name}', older_than => TIMESTAMP '2100-01-01 00:00:00', retain_last => 1)"
    ).collect()


def write_through_a_restart(settings: Settings, query: StreamingQuery, restart: Thread) -> None:
    """Holds bronze's lock and waits for the query while PostgreSQL is restarted; another writer has the lock before the end."""
    with sole_writer(settings, "lake bronze") as lock:
        restart.start()
        with pytest.raises(DependencyUnavailable, match="The lock of lake bronze is lost"):
            bronze_core.finish(query, Event(), lock.require, lambda: False)
        restart.join()
        with sole_writer(settings, "lake bronze", wait_seconds=1) as another:
            another.require()


@contextmanager
def own_postgres(settings: Settings) -> Iterator[tuple[Postgres, Settings]]:
    """A PostgreSQL that the test may stop, and settings that name it. Its folder is in the home: the server is another user."""
    home = settings.home / "data" / f"restored-{uuid.uuid4().hex[:8]}"
    place = own_place(settings, home)
    try:
        with running(Postgres(place)) as server:
            yield server, place.settings
    finally:
        shutil.rmtree(home)


def end_of_holders(settings: Settings, job: str) -> int:
    """Ends the connections that hold a job's lock, as a restart of PostgreSQL would; how many."""
    with psycopg.connect(settings.postgres_url(CATALOG_DATABASE)) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND granted AND classid = %s AND objid::bigint = %s",
            (LOCK_SPACE, lock_number(settings, job) % 2**32),
        ).fetchall()
        return len(ended)
