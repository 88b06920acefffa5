"""Marts that change together, on real PostgreSQL: readers see one run, and what others have built on a mart stays."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from contracts.tables import MART_PUBLICATION, POSTGRES_DATABASE
from infra.superset import reader
from lake import mart_publication
from lake.mart_publication import Mart, prepare
from tests.waiting import until

pytestmark = pytest.mark.stack

AT = 1_790_000_000_000
RUNS = 6


@contextmanager
def connected(settings: Settings, **options: Any) -> Iterator[Connection[Any]]:
    with psycopg.connect(settings.postgres_url(POSTGRES_DATABASE), **options) as connection:
        yield connection


@pytest.fixture
def marts(settings: Settings) -> Iterator[tuple[Mart, Mart]]:
    """Two marts in a schema of the test's own."""
    schema = f"marts_{uuid.uuid4().hex[:8]}"
    columns = {"store_id": "text NOT NULL", "number": "bigint NOT NULL", "run": "bigint NOT NULL"}
    yield (
        Mart(f"{schema}.one", columns, ("store_id", "number"), indexed=("run",)),
        Mart(f"{schema}.two", columns, ("store_id", "number")),
    )
    with connected(settings) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        connection.execute(f"DELETE FROM {MART_PUBLICATION} WHERE mart LIKE %s", (f"{schema}.%",))


def fill(settings: Settings, marts: Sequence[Mart], run: int, rows: int) -> None:
    """Fills each mart aside: of every run another number of rows, some of them the same in each."""
    prepare(settings, marts)
    with connected(settings) as connection:
        for mart in marts:
            for first, of_run in ((0, 0), (1_000, run)):
                connection.execute(
                    f"INSERT INTO {mart.staging} SELECT 's-1', number, %s FROM generate_series(%s::bigint, %s) AS number",
                    (of_run, first, first + rows - 1),
                )


def held(connection: Connection[Any], mart: Mart) -> tuple[int, int]:
    row = connection.execute(f"SELECT count(*), max(run) FROM {mart.name}").fetchone()
    assert row is not None
    return row


class Reader(threading.Thread):
    """Reads the marts again and again, each time in one transaction, and keeps what it saw or the error that ended it."""

    def __init__(self, settings: Settings, marts: Sequence[Mart], isolation: psycopg.IsolationLevel, early: bool) -> None:
        super().__init__(daemon=True)
        self.settings, self.marts, self.isolation, self.early = settings, marts, isolation, early
        self.seen: list[list[tuple[int, int]]] = []
        self.error: Exception | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            with connected(self.settings) as connection:
                connection.isolation_level = self.isolation
                while not self.ended.is_set():
                    with connection.transaction():
                        if self.early:  # a snapshot from before any of the marts is locked
                            connection.execute("SELECT pg_sleep(0.02)")
                        self.seen.append([held(connection, mart) for mart in self.marts])
        except psycopg.Error as error:
            self.error = error


def publish(settings: Settings, marts: Sequence[Mart], run_id: str, at: int, **more: Any) -> dict[str, int]:
    """What the marts hold after it, of staging tables as they stand."""
    with connected(settings) as connection:
        filled = {mart.name: int(connection.execute(f"SELECT count(*) FROM {mart.staging}").fetchone()[0]) for mart in marts}  # type: ignore[index]  # a count has a row
    return mart_publication.publish(settings, marts, more.pop("filled", filled), run_id, at, **more)


def test_a_staging_table_that_postgresql_emptied_leaves_all_of_them(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    fill(settings, marts, 1, rows=10)
    publish(settings, marts, "run-1", AT)
    fill(settings, marts, 2, rows=20)
    with connected(settings) as connection:
        connection.execute(f"TRUNCATE {marts[1].staging}")  # as its recovery after a crash does
    with pytest.raises(DependencyUnavailable, match="has 0 rows, and was given 40"):
        publish(settings, marts, "run-2", AT, filled={mart.name: 40 for mart in marts})

    with connected(settings) as connection:
        assert [held(connection, mart) for mart in marts] == [(20, 1), (20, 1)]


def test_who_reads_marts_in_one_transaction_sees_them_of_one_run(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    fill(settings, marts, 1, rows=10)
    publish(settings, marts, "run-1", AT)
    committed, repeatable = psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ
    kinds = [
        (marts, committed, False),
        (marts[::-1], committed, False),
        (marts, repeatable, False),
        (marts[::-1], repeatable, True),
    ]
    readers = [Reader(settings, order, isolation, early) for order, isolation, early in kinds]
    for each in readers:
        each.start()
    for run in range(2, RUNS + 1):
        fill(settings, marts, run, rows=10 * run)
        publish(settings, marts, f"run-{run}", AT + run)
        seen_before = [len(each.seen) for each in readers]
        until(lambda: all(each.error or len(each.seen) > count for each, count in zip(readers, seen_before, strict=True)))  # noqa: B023  # asked at once
    for each in readers:
        each.ended.set()
        each.join(timeout=30)

    assert [each.error for each in readers] == [None] * len(readers)
    for each in readers:
        assert {tuple(pair) for pair in each.seen} <= {((20 * run, run),) * 2 for run in range(1, RUNS + 1)}
        assert len({pair[0] for pair in each.seen}) > 1, "it saw no publication"


def test_the_run_and_rows_of_each_mart_are_noted_with_it(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    for run in (1, 2):
        fill(settings, marts, run, rows=5 * run)
        assert publish(settings, marts, f"run-{run}", AT) == {mart.name: 10 * run for mart in marts}
    with connected(settings) as connection:
        noted = connection.execute(
            f"SELECT run_id, rows, extract(epoch FROM published_at) * 1000 FROM {MART_PUBLICATION} WHERE mart = ANY(%s)",
            ([mart.name for mart in marts],),
        ).fetchall()
        left = connection.execute("SELECT to_regclass(%s)", (marts[0].staging,)).fetchone()

    assert noted == [("run-2", 20, AT)] * 2
    assert left == (None,)


def test_a_mart_that_was_not_filled_leaves_all_of_them(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    fill(settings, marts, 1, rows=10)
    publish(settings, marts, "run-1", AT)
    fill(settings, marts, 2, rows=20)
    with connected(settings) as connection:
        connection.execute(f"DROP TABLE {marts[1].staging}")
    with pytest.raises(psycopg.errors.UndefinedTable):
        publish(settings, marts, "run-2", AT)

    with connected(settings) as connection:
        assert [held(connection, mart) for mart in marts] == [(20, 1), (20, 1)]


def test_a_reader_that_does_not_end_is_said_and_keeps_its_marts(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    fill(settings, marts, 1, rows=10)
    publish(settings, marts, "run-1", AT)
    fill(settings, marts, 2, rows=20)
    with connected(settings) as idle:
        before = held(idle, marts[0])
        with pytest.raises(DependencyUnavailable, match="read all the time"):
            publish(settings, marts, "run-2", AT, readers_seconds=0.5)
        assert held(idle, marts[1]) == before == (20, 1)
    assert publish(settings, marts, "run-2", AT) == {mart.name: 40 for mart in marts}


def test_rights_views_and_indexes_stay(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    one = marts[0]
    schema, role = one.name.split(".")[0], f"analyst_{uuid.uuid4().hex[:8]}"
    reader.grant(settings)
    fill(settings, marts, 1, rows=10)
    publish(settings, marts, "run-1", AT)
    with connected(settings, autocommit=True) as owner:
        oid = owner.execute("SELECT %s::regclass::oid", (one.name,)).fetchone()
        owner.execute(f"CREATE VIEW {schema}.totals AS SELECT count(*) AS rows FROM {one.name}")
        password = reader.reader_password(settings)
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        owner.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        owner.execute(f"GRANT SELECT ON {one.name}, {schema}.totals TO {role}")
        try:
            fill(settings, marts, 2, rows=20)
            publish(settings, marts, "run-2", AT)
            host, port = settings.postgres.rsplit(":", 1)
            with psycopg.connect(host=host, port=port, user=role, password=password, dbname=POSTGRES_DATABASE) as analyst:
                assert held(analyst, one) == (40, 2)
                assert analyst.execute(f"SELECT rows FROM {schema}.totals").fetchone() == (40,)
            indexes = owner.execute(
                "SELECT count(*), bool_or(indisprimary) FROM pg_index WHERE indrelid = %s::regclass", (one.name,)
            )
            assert indexes.fetchone() == (2, True)
            assert owner.execute("SELECT %s::regclass::oid", (one.name,)).fetchone() == oid
        finally:
            owner.execute(f"DROP OWNED BY {role}")
            owner.execute(f"DROP ROLE {role}")


def test_the_dashboards_role_reads_a_mart_before_and_after_a_publication(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    """In the schema that the role is granted: rights on tables still to come are what a first publication needs."""
    reader.grant(settings)
    mart = Mart(f"{reader.SCHEMAS[0]}.of_the_test_{uuid.uuid4().hex[:8]}", marts[0].columns, marts[0].key)
    host, port = settings.postgres.rsplit(":", 1)
    password = reader.reader_password(settings)
    try:
        for run in (1, 2):
            fill(settings, [mart], run, rows=10)
            publish(settings, [mart], f"run-{run}", AT)
            with psycopg.connect(
                host=host, port=port, user=reader.ROLE, password=password, dbname=POSTGRES_DATABASE
            ) as dashboards:
                assert held(dashboards, mart) == (20, run)
    finally:
        with connected(settings) as owner:
            owner.execute(f"DROP TABLE IF EXISTS {mart.name}, {mart.staging}")
            owner.execute(f"DELETE FROM {MART_PUBLICATION} WHERE mart = %s", (mart.name,))


def test_a_row_that_is_the_same_is_not_written_again(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    places: list[Any] = []
    for run in (1, 2):
        fill(settings, marts, run, rows=10)
        publish(settings, marts, f"run-{run}", AT)
        with connected(settings) as connection:
            places.append(
                connection.execute(f"SELECT number, ctid FROM {marts[0].name} WHERE run = 0 ORDER BY number").fetchall()
            )

    assert places[0] == places[1]
    assert len(places[0]) == 10


def test_a_mart_gains_a_column_and_an_index(settings: Settings, marts: tuple[Mart, Mart]) -> None:
    fill(settings, marts, 1, rows=10)
    publish(settings, marts, "run-1", AT)
    wider = Mart(marts[1].name, {**marts[1].columns, "note": "text NOT NULL"}, marts[1].key, indexed=("number",))
    prepare(settings, [wider])
    with connected(settings) as connection:
        connection.execute(f"INSERT INTO {wider.staging} VALUES ('s-1', 0, 0, 'kept'), ('s-2', 0, 2, 'new')")
    publish(settings, [wider], "run-2", AT)

    with connected(settings) as connection:
        assert connection.execute(f"SELECT store_id, note FROM {wider.name} ORDER BY 1").fetchall() == [
            ("s-1", "kept"),
            ("s-2", "new"),
        ]


def test_a_publication_steps_back_before_postgres_ends_a_reader(settings: Settings) -> None:
    with connected(settings) as connection:
        row = connection.execute("SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'").fetchone()
    assert row is not None
    assert row[0] >= 3 * max(mart_publication.LOCK_MS)
