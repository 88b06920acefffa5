"""The PostgreSQL role that Superset reads with: the marts and the monitoring tables, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import hmac

import psycopg2
from psycopg2 import errors, sql

from contracts.errors import ConfigurationError, DependencyUnavailable
from contracts.settings import Settings
from contracts.tables import CREATE_LOCK, MART_DAILY, MART_PARITY, POSTGRES_DATABASE

ROLE = "rd360_reader"
SCHEMAS = tuple(sorted({table.split(".")[0] for table in (MART_DAILY, MART_PARITY)}))
STATEMENT_SECONDS = 60  # a dashboard must not keep the database busy for longer


def reader_password(settings: Settings) -> str:
    """The role's password, derived from Superset's secret so that it need not be kept anywhere else."""
    return hmac.new(settings.secret("superset_secret_key").encode(), ROLE.encode(), hashlib.sha256).hexdigest()


def grant(settings: Settings) -> None:
    """Makes the role and its rights, on tables that are there and on those still to come. Idempotent.

    Raises DependencyUnavailable, or ConfigurationError where our own user may not make roles.
    """
    try:
        connection = psycopg2.connect(settings.postgres_url(POSTGRES_DATABASE), connect_timeout=5)
    except psycopg2.OperationalError as error:
        raise DependencyUnavailable(
            f"PostgreSQL at {settings.postgres} does not answer", doing="making the dashboards' role", why=str(error).strip()
        ) from error
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (CREATE_LOCK,))
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (ROLE,))
            verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
            for statement in _statements(verb, settings):
                cursor.execute(statement)
        except errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"The user {settings.postgres_user} may not make the role {ROLE}",
                doing="making the dashboards' role",
                why=str(error).strip(),
                hint=f"Let an administrator run: ALTER ROLE {settings.postgres_user} CREATEROLE",
            ) from error


def _statements(verb: sql.SQL, settings: Settings) -> list[sql.Composed]:
    role, database = sql.Identifier(ROLE), sql.Identifier(POSTGRES_DATABASE)
    login = sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD {}")
    statements = [
        login.format(verb, role, sql.Literal(reader_password(settings))),
        sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role),
        sql.SQL("ALTER ROLE {} SET statement_timeout = {}").format(role, sql.Literal(f"{STATEMENT_SECONDS}s")),
        # an open transaction that has read a mart holds back the next publication of all of them
        sql.SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = {}").format(role, sql.Literal(f"{STATEMENT_SECONDS}s")),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, role),
    ]
    for name in SCHEMAS:
        schema = sql.Identifier(name)
        statements += [
            sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(schema),
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role),
            sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, role),
            # the marts are made anew by each run: rights on tables still to come are what counts
            sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA {} GRANT SELECT ON TABLES TO {}").format(schema, role),
        ]
    return statements
