"""A panel's runs on the stack's MLflow: tracked, registered, forecast from again, judged by the gate."""

from __future__ import annotations

import json
import uuid
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from contracts.errors import DataGateError, NotFoundError
from contracts.settings import Settings
from infra.cli import __main__ as cli
from infra.stack import supervisor
from tests.panel_world import folder_of, shop
from training.panels.model import PanelModel, load, save
from training.panels.read import read_panel
from training.registry import ModelRegistry

pytestmark = pytest.mark.stack

FIRST, LAST = "2024-03-03", "2024-03-10"


@dataclass(frozen=True)
class Kept:
    """A forecast and a backtest that were tracked, under a name of this run's own."""

    name: str
    folder: Path
    out: Path
    forecast: dict[str, Any]
    backtest: dict[str, Any]
    registry: ModelRegistry


def said(*arguments: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    with redirect_stdout(StringIO()) as out:
        assert cli.main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def again(kept: Kept, version: str, origin: str, out: Path) -> dict[str, Any]:
    """A forecast by a version that is kept."""
    options = ["--model", version, "--model-name", kept.name, "--origin", origin, "--out", str(out)]
    return said("forecast", "--panel", str(kept.folder), *options)


@pytest.fixture(scope="module")
def kept(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    supervisor.up(settings, ["mlflow"], lambda _: None)
    name = f"test-{uuid.uuid4().hex[:8]}"
    folder = folder_of(tmp_path_factory.mktemp("panel"), shop(series=12))
    out = folder / "forecast.parquet"
    shared = ["--panel", str(folder), "--track", "--model-name", name]
    forecast = said("forecast", *shared, "--origin", FIRST, "--out", str(out))
    backtest = said("backtest", *shared, "--origin", LAST, "--prophet-series", "0", "--ets-series", "1")
    return Kept(name, folder, out, forecast, backtest, ModelRegistry(settings, name, experiment=name))


def test_a_kept_version_writes_the_file_that_its_run_wrote(kept: Kept, tmp_path: Path) -> None:
    version = kept.forecast["model"]["version"]
    found = again(kept, version, FIRST, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == kept.out.read_bytes()
    assert found["model"] == {"name": kept.name, "version": version, "origin": FIRST, "data_as_it_was": True}


def test_an_older_version_forecasts_from_a_later_origin(kept: Kept, tmp_path: Path) -> None:
    again(kept, kept.forecast["model"]["version"], LAST, tmp_path / "later.parquet")
    rows = pl.read_parquet(tmp_path / "later.parquet")
    assert rows.height == 12 * 7
    assert str(rows["origin"][0]) == LAST
    panel = read_panel(kept.folder)
    column = panel.column_of(rows["origin"][0])
    truth = panel.units[:, column + 1 : column + 8].ravel()
    assert np.abs(rows["mean"].to_numpy() - truth).sum() / truth.sum() < 0.5


def test_the_model_of_a_backtest_is_judged_and_is_champion_if_the_gate_agrees(kept: Kept, tmp_path: Path) -> None:
    model = kept.backtest["model"]
    assert model["decision"]["reasons"]
    listed = {version["version"]: version for version in said("models", "list", "--model-name", kept.name)["models"]}
    assert set(listed) == {kept.forecast["model"]["version"], model["version"]}
    promoted = model["decision"]["promoted"]
    assert listed[model["version"]]["aliases"] == (["challenger", "champion"] if promoted else ["challenger"])
    assert listed[model["version"]]["gate"] == ("passed" if promoted else "refused")
    shown = said("models", "show", model["version"], "--model-name", kept.name)
    assert shown["metrics"]["wape"] == kept.backtest["overall"]["all rows"]["chosen"]["wape"]
    compared = said("models", "compare", *sorted(listed), "--model-name", kept.name)
    assert compared["params"]["origins"] == {kept.forecast["model"]["version"]: FIRST, model["version"]: LAST}
    assert said("promote", model["version"], "--force", "--model-name", kept.name)["version"] == model["version"]
    assert again(kept, "champion", LAST, tmp_path / "champion.parquet")["model"]["version"] == model["version"]


def test_a_run_says_all_that_decided_and_all_that_it_found(kept: Kept) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(kept.registry.url)
    run_id = kept.backtest["model"]["run_id"]
    run = client.get_run(run_id)
    assert {"data_fingerprint", "features_fingerprint", "trained_through"} <= set(run.data.tags)
    assert {"xgboost.rounds", "xgboost.seed", "quantiles.depth", "choice.margin", "past_origins"} <= set(run.data.params)
    scores = kept.backtest["overall"]["all rows"]["chosen"]
    assert all(run.data.metrics[figure] == scores[figure] for figure in ("wape", "bias", "rmsse", "spl"))
    segments = kept.backtest["by_segment"]
    assert all(run.data.metrics[f"wape_{segment}"] == found["chosen"]["wape"] for segment, found in segments.items())
    assert [point.value for point in client.get_metric_history(run_id, "wape_by_origin")] == [scores["wape"]]
    assert {file.path for file in client.list_artifacts(run_id)} == {"backtest.json", "features.json", "report.html", "model"}
    children = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'")
    assert {child.data.params["candidate"] for child in children} == set(kept.backtest["overall"]["all rows"]) - {"chosen"}
    past = client.get_run(kept.forecast["model"]["run_id"]).data
    assert 0 < past.metrics["past_wape"] < 1


def test_the_folder_has_a_signature_an_example_and_what_the_features_were(kept: Kept) -> None:
    def look(folder: Path) -> tuple[str, dict[str, Any], list[str]]:
        example = json.loads((folder / "input_example.json").read_text(encoding="utf-8"))
        return (folder / "MLmodel").read_text(encoding="utf-8"), example, load(folder).facts.features

    _, (described, example, features) = kept.registry.read(kept.backtest["model"]["version"], look)
    assert all(f'"{name}"' in described for name in ("units", "price_cents", "x_promotion", "mean", "q_0.975"))
    assert example["columns"][:4] == ["date", "store_id", "product_id", "units"]
    assert example["data"][0][0] <= LAST
    assert {"log_scale", "lead", "x_promotion"} <= set(features)


def test_a_kept_form_that_differs_is_not_registered(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def off_by_a_little(model: PanelModel, folder: Path) -> None:
        assert model.lesson is not None
        moved = replace(model.lesson.by_size, of_segment=model.lesson.by_size.of_segment * 1.001)
        save(replace(model, lesson=replace(model.lesson, by_size=moved)), folder)

    before = [version.version for version in kept.registry.versions()]
    monkeypatch.setattr("training.panels.registered.save", off_by_a_little)
    options = ["--panel", str(kept.folder), "--origin", FIRST, "--out", str(tmp_path / "f"), "--model-name", kept.name, "--track"]
    assert cli.main(["forecast", *options]) == DataGateError.exit_code
    assert [version.version for version in kept.registry.versions()] == before


def test_a_version_that_is_not_there_is_said_not_to_be(kept: Kept, tmp_path: Path) -> None:
    options = ["--panel", str(kept.folder), "--origin", FIRST, "--out", str(tmp_path / "f"), "--model", "99"]
    assert cli.main(["forecast", *options, "--model-name", kept.name]) == NotFoundError.exit_code
    assert not (tmp_path / "f").exists()
