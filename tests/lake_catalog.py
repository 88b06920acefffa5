"""The lake's catalog as its database has it: which metadata file is each table's. Restoring a dump of it sets tables back."""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from contracts.settings import Settings
from contracts.spark_conf import CATALOG_DATABASE
from contracts.tables import CATALOG

Locations = dict[str, str]  # table, with the catalog's name before it -> its metadata file


def locations(settings: Settings, database: str = CATALOG_DATABASE) -> Locations:
    """The metadata file of each table."""
    with psycopg.connect(settings.postgres_url(database)) as connection:
        rows = connection.execute("SELECT table_namespace, table_name, metadata_location FROM iceberg_tables")
        return {f"{CATALOG}.{namespace}.{name}": location for namespace, name, location in rows}


def set_back(settings: Settings, to: Mapping[str, str], database: str = CATALOG_DATABASE) -> None:
    """Gives tables the metadata files that they had before."""
    with psycopg.connect(settings.postgres_url(database)) as connection:
        for table, location in to.items():
            _, namespace, name = table.split(".")
            done = connection.execute(
                "UPDATE iceberg_tables SET metadata_location = %s WHERE table_namespace = %s AND table_name = %s",
                (location, namespace, name),
            )
            assert done.rowcount == 1


def commits(found: Mapping[str, str], table: str) -> int:
    """How many commits a table has had since it was made, by the number in its metadata file's name; 0 where there is none."""
    return int(found[table].rsplit("/", 1)[1].split("-", 1)[0]) if table in found else 0
