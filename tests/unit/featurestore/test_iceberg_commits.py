"""A table that another writer has committed to in between."""

from __future__ import annotations

from unittest.mock import MagicMock

import pyarrow as pa
import pytest
from pyiceberg.exceptions import CommitFailedException

from contracts.errors import DependencyUnavailable
from contracts.settings import Settings
from featurestore.iceberg import IcebergTables


def test_a_commit_that_came_too_late_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tables, catalog = IcebergTables(Settings()), MagicMock()
    catalog.create_table_if_not_exists.return_value.append.side_effect = CommitFailedException("branch main has changed")
    monkeypatch.setattr(tables, "_catalog", lambda: catalog)
    with pytest.raises(DependencyUnavailable, match="Another writer") as caught:
        tables.append("lake.gold.forecasts", pa.table({"mean": [1.0]}))
    assert caught.value.retryable
