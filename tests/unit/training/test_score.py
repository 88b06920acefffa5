"""The nightly scoring on the tables of a small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from contracts.errors import DataGateError
from contracts.features import SALES_ROLLING
from contracts.tables import GOLD_FORECASTS
from contracts.windows import DAY_MS, StoreCalendars
from tests.retail_world import FIRST_DAY, HOUR_MS, FakeOfflineStore
from training.models.naive import FittedNaive
from training.registry import LoadedModel
from training.rows import HORIZON, LEVELS
from training.score import FORECASTS, keep, latest_series, score_all
from training.scorer import load_scorer
from training.tracking import QUANTILE_COLUMNS

UTC = StoreCalendars("UTC")
LAST_SNAPSHOT = (FIRST_DAY + 90) * DAY_MS + 18 * HOUR_MS


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    FittedNaive(np.tile(np.linspace(-1, 2, len(LEVELS)), (3, 1)), FIRST_DAY + 90).export(tmp_path)
    scorer = load_scorer(tmp_path)
    return LoadedModel("demand", "4", scorer.manifest.fingerprint, scorer.manifest.trained_through, scorer)


def test_every_series_is_forecast_for_every_day_from_the_latest_snapshot_on(world: FakeOfflineStore, model: LoadedModel) -> None:
    forecasts = score_all(world, model, UTC)
    assert forecasts.schema == FORECASTS
    assert set(forecasts["as_of_ms"].to_pylist()) == {LAST_SNAPSHOT}
    keys = {(row["store_id"], row["product_id"], row["target_day"]) for row in forecasts.to_pylist()}
    assert len(keys) == forecasts.num_rows == 3 * 8 * HORIZON
    for row in forecasts.slice(0, 50).to_pylist():
        quantiles = [row[column] for column in QUANTILE_COLUMNS]
        assert quantiles == sorted(quantiles)
        assert (row["model_name"], row["model_version"]) == ("demand", "4")
        assert row["as_of"].timestamp() * 1000 == LAST_SNAPSHOT


def test_quantile_columns_are_named_by_their_level() -> None:
    assert QUANTILE_COLUMNS == ("q05", "q10", "q25", "q50", "q75", "q90", "q95", "q975")


def test_scoring_again_replaces_what_it_wrote_and_keeps_what_others_did(world: FakeOfflineStore, model: LoadedModel) -> None:
    offline = FakeOfflineStore(dict(world.tables), world.views)
    forecasts = score_all(offline, model, UTC)
    older = forecasts.slice(0, 5).set_column(1, "model_version", pa.array(["3"] * 5, pa.string()))
    offline.append(GOLD_FORECASTS, older)
    keep(offline, forecasts)
    keep(offline, forecasts)
    kept = offline.read_table(GOLD_FORECASTS)
    assert kept.num_rows == forecasts.num_rows + 5
    assert kept["model_version"].to_pylist().count("3") == 5


def test_each_store_is_scored_as_of_its_own_latest_snapshot() -> None:
    rows = [("near", "p", 1000), ("near", "p", 2000), ("far", "p", 1500), ("far", "q", 1500), ("far", "gone", 900)]
    table = pa.table(
        {
            "store_id": [row[0] for row in rows],
            "product_id": [row[1] for row in rows],
            "as_of_ms": pa.array([row[2] for row in rows], pa.int64()),
        }
    )
    series = latest_series(FakeOfflineStore({SALES_ROLLING.table: table}))
    chosen = list(zip(series.store.tolist(), series.product.tolist(), series.as_of.tolist(), strict=True))
    assert chosen == [("far", "p", 1500), ("far", "q", 1500), ("near", "p", 2000)]


def test_a_lake_without_features_is_said_to_have_none() -> None:
    empty = pa.table({"store_id": pa.array([], pa.string()), "as_of_ms": pa.array([], pa.int64())})
    with pytest.raises(DataGateError, match="no features to score"):
        latest_series(FakeOfflineStore({SALES_ROLLING.table: empty}))


def test_a_store_with_a_quote_in_its_name_is_kept_like_any_other(world: FakeOfflineStore, model: LoadedModel) -> None:
    forecasts = score_all(world, model, UTC).slice(0, HORIZON)
    forecasts = forecasts.set_column(2, "store_id", pa.array(["O'Neill"] * HORIZON, pa.string()))
    offline = FakeOfflineStore()
    keep(offline, forecasts)
    keep(offline, forecasts)
    assert offline.read_table(GOLD_FORECASTS).num_rows == HORIZON
