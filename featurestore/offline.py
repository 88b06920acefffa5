"""The offline port: features as they stood at past instants, and the lake's tables as Arrow.

`open_offline_store` gives the one behind which Feast joins on Spark and PyIceberg reads and writes the same tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa

from contracts.settings import Settings


class OfflineStore(Protocol):
    """Features in the past. All methods raise DependencyUnavailable when a server does not answer."""

    def point_in_time(self, questions: pa.Table, views: Sequence[str]) -> pa.Table:
        """One row per question, in their order: the question's columns, then the features of `views` as of its `as_of_ms`.

        `questions` has store_id, product_id, as_of_ms (ms since the epoch, UTC) and columns to pass through. A view's features
        come from its latest row at or before `as_of_ms`, and within two days unless it is master data; they are null where
        there is none. Features keep their names (they are unique); `<view>__as_of_ms` is the as-of time of the row they came
        from. `store_id` may be `*`, for the price plans of all stores. Raises NotFoundError where the table of a view was never
        written, ConfigurationError where the registry does not have the catalogue.
        """
        ...

    def read_table(self, name: str, columns: Sequence[str] | None = None, row_filter: str | None = None) -> pa.Table:
        """The rows of `lake.<layer>.<table>`, some columns of it, those that a filter such as "units > 0" keeps.

        Raises NotFoundError where there is no such table.
        """
        ...

    def overwrite(self, name: str, table: pa.Table, row_filter: str | None = None) -> None:
        """Replaces the rows that the filter matches (all by default) in one commit. Creates the table where it is missing."""
        ...

    def append(self, name: str, table: pa.Table) -> None:
        """Adds rows in one commit. Creates the table, with the schema of `table`, where it is missing."""
        ...

    def close(self) -> None:
        """Stops the Spark session if the store has started one."""
        ...


def open_offline_store(settings: Settings) -> OfflineStore:
    """Feast on Spark over the Iceberg tables. Spark starts with the first `point_in_time`, in about 10 s."""
    from featurestore.feast_offline import FeastOfflineStore  # Feast and pyspark take seconds to import

    return FeastOfflineStore(settings)
