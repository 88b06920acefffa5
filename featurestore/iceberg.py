"""The lake's tables through PyIceberg: plain reads and writes that need no Spark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException, NoSuchTableError
from pyiceberg.expressions import AlwaysTrue
from sqlalchemy.exc import OperationalError

from contracts.errors import DependencyUnavailable, NotFoundError
from contracts.settings import Settings
from contracts.spark_conf import iceberg_properties
from contracts.tables import CATALOG


class IcebergTables:
    """Reads and writes of `lake.<layer>.<table>`, each write one commit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: Catalog | None = None

    def read(self, name: str, columns: Sequence[str] | None = None, row_filter: str | None = None) -> pa.Table:
        """See OfflineStore.read_table."""
        with self._errors(f"reading {name}"):
            try:
                table = self._catalog().load_table(_identifier(name))
            except NoSuchTableError as error:
                raise not_written(name) from error
            scan = table.scan(row_filter or AlwaysTrue(), selected_fields=tuple(columns) if columns else ("*",))
            return plain_types(scan.to_arrow())

    def overwrite(self, name: str, rows: pa.Table, row_filter: str | None = None) -> None:
        """See OfflineStore.overwrite."""
        with self._errors(f"writing {name}"):
            table = self._catalog().create_table_if_not_exists(self._with_namespace(name), schema=rows.schema)
            table.overwrite(rows, overwrite_filter=row_filter or AlwaysTrue())

    def append(self, name: str, rows: pa.Table) -> None:
        """See OfflineStore.append."""
        with self._errors(f"writing {name}"):
            self._catalog().create_table_if_not_exists(self._with_namespace(name), schema=rows.schema).append(rows)

    def _catalog(self) -> Catalog:
        if self._opened is None:
            self._opened = load_catalog(CATALOG, **iceberg_properties(self._settings))
        return self._opened

    def _with_namespace(self, name: str) -> tuple[str, ...]:
        identifier = _identifier(name)
        self._catalog().create_namespace_if_not_exists(identifier[:-1])
        return identifier

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise DependencyUnavailable(
                f"The lake's catalog in PostgreSQL at {self._settings.postgres} does not answer",
                doing=doing,
                why=str(error.orig).strip().splitlines()[-1],
            ) from error
        except CommitFailedException as error:
            raise DependencyUnavailable(
                "Another writer of the table came between",
                doing=doing,
                why=str(error).splitlines()[0],
                hint="Nothing was written. Run the same command again.",
            ) from error
        except OSError as error:  # how pyarrow's S3 file system reports everything
            raise DependencyUnavailable(
                f"The S3 store at {self._settings.s3} does not answer", doing=doing, why=str(error).splitlines()[0]
            ) from error


def not_written(name: str) -> NotFoundError:
    """The error for a table that no job has written yet."""
    return NotFoundError(f"There is no table {name}", doing="reading the lake", hint="`./rd360 lake run` writes it.")


def plain_types(table: pa.Table) -> pa.Table:
    """The table with plain strings and lists where PyIceberg gives large ones, so that it joins with Spark's."""
    return table.cast(pa.schema([field.with_type(_plain(field.type)) for field in table.schema]))


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    return kind


def _identifier(name: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(f"{CATALOG}.").split("."))
