"""The dashboards in Superset: imported from the files, read with a role that can only read, every chart with rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from contracts.errors import ConfigurationError, DependencyUnavailable, NotFoundError
from contracts.settings import Settings
from contracts.tables import MART_ACCURACY, MART_DAILY, MART_FORECASTS, MART_JOBS, MART_PARITY, POSTGRES_DATABASE
from infra.superset.api import Superset
from infra.superset.reader import ROLE, grant, reader_password

pytestmark = pytest.mark.stack

MARK = "of the dashboards' test"
# Types by name, as the writers of the marts make them
TYPES = {
    "bigint": "units returned_units revenue_cents price rows compared mismatches missing extra rows_in rows_out rejected",
    "double precision": "in_stock demand mean q05 q10 q25 q50 q75 q90 q95 q975 wape bias pinball seconds",
    "date": "local_day target_day origin",
    "timestamptz": "as_of trained_at checked_at started_at",
    "boolean": "promoted",
    "jsonb": "detail",
}
COLUMNS = {
    MART_DAILY: "store_id product_id category region local_day units returned_units revenue_cents price promoted in_stock demand",
    MART_FORECASTS: "store_id product_id as_of target_day model_name model_version mean q05 q10 q25 q50 q75 q90 q95 q975",
    MART_ACCURACY: "run_id trained_at candidate origin wape bias pinball rows",
    MART_PARITY: "run_id checked_at view feature compared mismatches missing extra",
    MART_JOBS: "job started_at seconds rows_in rows_out rejected detail",
}
ROWS: dict[str, tuple[Any, ...]] = {
    MART_DAILY: (MARK, "p-1", "dairy", "north", "2026-06-01", 12, 1, 3_600, 300, False, 0.5, 14.0),
    MART_FORECASTS: (MARK, "p-1", "2026-06-02T00:00Z", "2026-06-02", "demand", "1", 10.0, 4, 5, 7, 10, 13, 15, 16, 18),
    MART_ACCURACY: (MARK, "2999-01-01T00:00Z", "xgboost", "2026-05-01", 0.3, 0.01, 1.2, 400),
    MART_PARITY: (MARK, "2026-06-02T02:30Z", "sales_rolling", "units_1h", 100, 0, 0, 0),
    MART_JOBS: (MARK, "2026-06-02T02:10Z", 12.5, 1000, 990, 10, "{}"),
}


def exists(cursor: Any, table: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (table,))
    return bool(cursor.fetchone()[0])


def type_of(column: str) -> str:
    return next((name for name, columns in TYPES.items() if column in columns.split()), "text")


def connect(settings: Settings, user: str, password: str) -> contextlib.closing[Any]:
    host, port = settings.postgres.rsplit(":", 1)
    return contextlib.closing(psycopg2.connect(host=host, port=port, user=user, password=password, dbname=POSTGRES_DATABASE))


def as_owner(settings: Settings) -> contextlib.closing[Any]:
    return connect(settings, settings.postgres_user, settings.secret("postgres_password"))


def as_reader(settings: Settings) -> contextlib.closing[Any]:
    return connect(settings, ROLE, reader_password(settings))


@pytest.fixture(scope="module")
def marts(settings: Settings) -> Iterator[None]:
    """A row in each mart, beside what is there. A mart that its writer has not made yet is made here, and dropped again."""
    grant(settings)
    with as_owner(settings) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        missing = [table for table in COLUMNS if not exists(cursor, table)]
        for table in missing:
            types = ", ".join(f'"{name}" {type_of(name)}' for name in COLUMNS[table].split())
            cursor.execute(f"CREATE TABLE {table} ({types})")
        for table, columns in COLUMNS.items():
            names = ", ".join(f'"{name}"' for name in columns.split())
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(['%s'] * len(ROWS[table]))})", ROWS[table])
        yield
        for table, columns in COLUMNS.items():
            cursor.execute(f"DELETE FROM {table} WHERE {columns.split()[0]} = %s", (MARK,))
        for table in missing:
            cursor.execute(f"DROP TABLE {table}")


@pytest.fixture(scope="module")
def superset(settings: Settings, marts: None) -> Superset:
    client = Superset(settings)
    client.apply()
    return client


def test_every_chart_returns_rows(superset: Superset) -> None:
    charts = superset.check("demand")
    assert len(charts) >= 9
    assert {chart.name: chart.error for chart in charts if chart.error or not chart.rows} == {}


def test_a_second_apply_changes_nothing(superset: Superset) -> None:
    before = superset.dashboards()
    superset.apply()
    assert superset.dashboards() == before
    assert [dashboard.title for dashboard in before] == ["Demand"]


def test_a_dashboard_that_is_not_there_is_said(superset: Superset) -> None:
    with pytest.raises(NotFoundError, match="never"):
        superset.check("never")


def test_superset_reads_and_cannot_write(settings: Settings, marts: None) -> None:
    with as_reader(settings) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {MART_DAILY}")
        assert cursor.fetchone()[0] > 0
    for statement in (f"DELETE FROM {MART_DAILY}", "CREATE TABLE marts.mine (a int)", "SELECT * FROM pg_authid"):
        with as_reader(settings) as connection, connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")  # the setting is a help, the rights are the wall
            connection.commit()
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)


def test_a_table_made_later_can_be_read(settings: Settings, marts: None) -> None:
    with as_owner(settings) as owner, owner.cursor() as cursor:
        cursor.execute("CREATE TABLE marts.later_for_the_test (a int)")
        owner.commit()
        try:
            with as_reader(settings) as reader, reader.cursor() as reading:
                reading.execute("SELECT * FROM marts.later_for_the_test")
        finally:
            cursor.execute("DROP TABLE marts.later_for_the_test")
            owner.commit()


def test_a_user_that_may_not_make_roles_is_told_what_an_administrator_must_do(settings: Settings, marts: None) -> None:
    limited = settings.model_copy(update={"postgres_user": "limited_of_the_test"})
    with as_owner(settings) as owner, owner.cursor() as cursor:
        cursor.execute("CREATE ROLE limited_of_the_test LOGIN PASSWORD %s", (limited.secret("postgres_password"),))
        owner.commit()
        try:
            with pytest.raises(ConfigurationError, match=ROLE) as raised:
                grant(limited)
        finally:
            cursor.execute("DROP ROLE limited_of_the_test")
            owner.commit()
    assert "CREATEROLE" in raised.value.hint


def test_a_wrong_password_and_a_superset_that_is_down_are_said(settings: Settings) -> None:
    with pytest.raises(DependencyUnavailable, match="401"):
        Superset(settings.model_copy(update={"superset_password": type(settings.superset_password)("wrong")}))
    with pytest.raises(DependencyUnavailable, match=r"127\.0\.0\.1:1 "):
        Superset(settings.model_copy(update={"superset_url": "http://127.0.0.1:1"}))
