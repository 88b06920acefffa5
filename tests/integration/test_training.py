"""Training on the stack's MLflow, PostgreSQL and S3: tracked, registered, promoted, rolled back, scored and published.

The lake's features come from a small world in memory, so that the test needs no Spark.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import psycopg
import pytest

from contracts import tables
from contracts.errors import DependencyUnavailable, NotFoundError, UsageError
from contracts.settings import Settings
from contracts.tables import GOLD_FORECASTS
from contracts.windows import StoreCalendars
from featurestore.offline import open_offline_store
from infra.stack import supervisor
from tests.retail_world import HOURS, FakeOfflineStore, make_world
from training.frame import Frame, build_frame
from training.marts import read_forecast, replace_forecasts, write_accuracy
from training.models.base import Candidate
from training.models.naive import SeasonalNaive
from training.models.prophet import ProphetPerSeries
from training.models.xgboost import MEAN_RECIPE, SPREAD_RECIPE, XGBoostQuantiles
from training.questions import Bounds
from training.registry import PASSED, REFUSED, ModelRegistry
from training.score import keep, score_all
from training.train import Training, train

pytestmark = pytest.mark.stack

UTC = StoreCalendars("UTC")
CANDIDATES: list[Candidate] = [
    SeasonalNaive(),
    XGBoostQuantiles(replace(MEAN_RECIPE, rounds=50, eta=0.15), replace(SPREAD_RECIPE, rounds=15, eta=0.3)),
    ProphetPerSeries(max_series=2),
]
STARTED_MS = 1_790_000_000_000


@dataclass(frozen=True)
class Trained:
    """A first training run and what it ran on."""

    registry: ModelRegistry
    frame: Frame
    world: FakeOfflineStore
    run: Training


@pytest.fixture(scope="module")
def registry(settings: Settings) -> ModelRegistry:
    """A model of this run's own on the stack's MLflow."""
    supervisor.up(settings, ["mlflow"], lambda _: None)
    name = f"test-{uuid.uuid4().hex[:8]}"
    return ModelRegistry(settings, name, experiment=name)


@pytest.fixture(scope="module")
def first(registry: ModelRegistry) -> Trained:
    world = make_world(stores=3, products=8, days=90)
    frame = build_frame(world, UTC, HOURS, Bounds(training_rows=6_000, judged_rows=3_000))
    return Trained(registry, frame, world, train(frame, CANDIDATES, registry, lambda: STARTED_MS))


@pytest.fixture
def marts(settings: Settings) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    with psycopg.connect(settings.postgres_url(tables.POSTGRES_DATABASE)) as connection:
        yield lambda query: connection.execute(query).fetchall()


def test_the_first_model_that_beats_seasonal_naive_is_champion(first: Trained) -> None:
    assert first.run.decision.promoted, first.run.decision.reasons
    champion = first.registry.load()
    assert champion.version == first.run.version == first.registry.show(first.run.version).version
    figures = first.run.as_json()["candidates"]
    assert set(figures) == {"seasonal_naive", "xgboost", "prophet"}
    assert figures[first.run.candidate]["wape"] < figures["seasonal_naive"]["wape"]


def test_what_is_served_is_what_was_trained(first: Trained) -> None:
    rows = first.run.test.rows
    one, all_rows = first.registry.load().scorer.score_matrix(rows.x[:1]), first.registry.load().scorer.score_matrix(rows.x)
    np.testing.assert_array_equal(one.quantiles[0], all_rows.quantiles[0])
    assert all_rows.mean.sum() == pytest.approx(rows.target.sum(), rel=0.25)


def test_a_run_is_tracked_with_its_data_features_and_figures_by_origin(first: Trained) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(first.registry.url)
    run = client.get_run(first.run.run_id)
    assert {"vector_fingerprint", "catalogue_fingerprint", "data_fingerprint", "judged_fingerprint"} <= set(run.data.tags)
    assert {file.path for file in client.list_artifacts(first.run.run_id)} == {"backtest.json", "vector.json", "model"}
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{first.run.run_id}'")
    assert {child.data.params["candidate"] for child in children} == {candidate.name for candidate in CANDIDATES}
    for child in children:
        history = client.get_metric_history(child.info.run_id, "wape_by_origin")
        expected = first.run.test.results[child.data.params["candidate"]].by_origin.values()
        assert [point.value for point in sorted(history, key=lambda p: p.step)] == [scores.wape for scores in expected]


def test_a_retrain_that_learns_nothing_new_keeps_the_champion_and_says_why(first: Trained) -> None:
    again = train(first.frame, CANDIDATES, first.registry, lambda: STARTED_MS + 1)
    assert not again.decision.promoted
    assert again.champion == first.run.version == first.registry.champion_version()
    refused = first.registry.show(again.version)
    assert refused.gate == REFUSED
    assert "challenger" in refused.aliases
    assert "was trained on all but 0 of the judged rows" in refused.reasons[0]


def test_a_champion_is_beaten_on_days_that_it_has_not_seen(settings: Settings, first: Trained) -> None:
    """A poor model is champion of the first sixty days; thirty days later a good one is judged against it on those days."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    registry = ModelRegistry(settings, name, experiment=name)
    cut = int(first.frame.daily.day.min()) + 60
    young = make_world(stores=3, products=8, days=60)
    poor = train(build_frame(young, UTC, HOURS, Bounds(4_000, 2_000)), [SeasonalNaive()], registry, lambda: STARTED_MS)
    assert not poor.decision.promoted, "seasonal naive does not beat itself"
    assert poor.champion is None
    registry.promote(poor.version)
    better = train(first.frame, CANDIDATES, registry, lambda: STARTED_MS)
    assert better.decision.promoted, better.decision.reasons
    assert registry.load().trained_through > registry.load(poor.version).trained_through
    judged = first.run.test.rows
    assert (judged.target_day >= cut).any()
    assert any(f"of champion version {poor.version}" in reason for reason in better.decision.reasons)


def test_promotion_and_rollback_walk_the_same_way(settings: Settings, first: Trained) -> None:
    registry = first.registry
    challenger = next(version for version in registry.versions() if "challenger" in version.aliases)
    champion = registry.champion_version()
    if challenger.version == champion:
        challenger = registry.show(train(first.frame, CANDIDATES[:2], registry, lambda: STARTED_MS).version)
    assert registry.promote(challenger.version) == champion
    assert registry.promote(challenger.version) == challenger.version, "twice is once"
    assert registry.load().version == challenger.version
    assert registry.rollback() == (challenger.version, champion)
    assert registry.champion_version() == champion
    with pytest.raises(UsageError, match="no earlier champion"):
        registry.rollback()
    assert registry.show(str(champion)).gate == PASSED


def test_versions_that_do_not_exist_are_said_not_to(settings: Settings, registry: ModelRegistry) -> None:
    unknown = ModelRegistry(settings, f"none-{uuid.uuid4().hex[:8]}")
    assert unknown.champion_version() is None
    assert unknown.versions() == []
    with pytest.raises(NotFoundError, match="has no champion"):
        unknown.load()
    with pytest.raises(NotFoundError):
        registry.promote("9999")


def test_a_registry_that_is_down_is_named_at_once(settings: Settings) -> None:
    gone = ModelRegistry(settings.model_copy(update={"mlflow_url": "http://127.0.0.1:1"}))
    with pytest.raises(DependencyUnavailable, match=r"MLflow at http://127\.0\.0\.1:1 does not answer"):
        gone.load()


def test_the_accuracy_of_a_run_is_published_once(settings: Settings, first: Trained, marts: Callable[..., list]) -> None:
    rows = first.run.as_json()["accuracy"]
    for _ in range(2):
        write_accuracy(settings, first.run.run_id, first.run.started_ms, rows)
    found = marts(f"SELECT candidate, origin, wape, rows FROM {tables.MART_ACCURACY} WHERE run_id = '{first.run.run_id}'")
    assert sorted((c, o.isoformat(), w, n) for c, o, w, n in found) == sorted(
        (row["candidate"], row["origin"], row["wape"], row["rows"]) for row in rows
    )


def test_a_nights_forecasts_reach_the_lake_and_the_mart(settings: Settings, first: Trained, marts: Callable[..., list]) -> None:
    model = replace(first.registry.load(), version=uuid.uuid4().hex)
    forecasts = score_all(first.world, model, UTC)
    lake = open_offline_store(settings)
    for _ in range(2):
        keep(lake, forecasts)
        assert replace_forecasts(settings, forecasts) == forecasts.num_rows
    kept = lake.read_table(GOLD_FORECASTS, row_filter=f"model_version = '{model.version}'")
    lake.close()
    assert sorted(kept["mean"].to_pylist()) == sorted(forecasts["mean"].to_pylist())
    assert marts(f"SELECT count(*) FROM {tables.MART_FORECASTS}") == [(forecasts.num_rows,)]
    days = read_forecast(settings, "s-1", "p-3")
    expected = [row for row in forecasts.to_pylist() if (row["store_id"], row["product_id"]) == ("s-1", "p-3")]
    assert [(day["target_day"], day["q95"]) for day in days] == [(row["target_day"].isoformat(), row["q95"]) for row in expected]
    with pytest.raises(NotFoundError, match="no forecast of product 'nothing'"):
        read_forecast(settings, "s-1", "nothing")
