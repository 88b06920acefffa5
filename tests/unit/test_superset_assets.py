"""The dashboards' files fit together, name nothing of one machine, and become queries that mean what the chart shows."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from contracts import tables
from contracts.errors import DataGateError
from infra.cli import dashboards
from infra.superset import bundle
from infra.superset.api import Chart, Dashboard

FILES = {
    path.relative_to(bundle.ASSETS).as_posix(): yaml.safe_load(path.read_text("utf-8")) for path in bundle.ASSETS.rglob("*.yaml")
}
CHARTS = {name: content for name, content in FILES.items() if name.startswith("charts/")}
DATASETS = {content["uuid"]: content for name, content in FILES.items() if name.startswith("datasets/")}


def unpacked(address: str = "db.example:5432") -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(bundle.build(address))) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_every_reference_between_the_files_is_kept() -> None:
    [database] = [content for name, content in FILES.items() if name.startswith("databases/")]
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == {database["uuid"]}
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} <= set(DATASETS)
    board = FILES["dashboards/demand.yaml"]
    shown = {part["meta"]["uuid"] for part in board["position"].values() if isinstance(part, dict) and part["type"] == "CHART"}
    assert shown == {chart["uuid"] for chart in CHARTS.values()}
    for part in board["position"].values():
        if isinstance(part, dict):
            assert set(part.get("children", ())) <= set(board["position"])
    for choice in board["metadata"]["native_filter_configuration"]:
        [target] = choice["targets"]
        assert target["column"]["name"] in {c["column_name"] for c in DATASETS[target["datasetUuid"]]["columns"]}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_asks_only_for_what_its_dataset_has(name: str) -> None:
    chart = CHARTS[name]
    dataset = DATASETS[chart["dataset_uuid"]]
    asked = bundle.query(chart["params"])
    columns = [column["sqlExpression"] if isinstance(column, dict) else column for column in asked["columns"]]
    assert set(columns) <= {column["column_name"] for column in dataset["columns"]}
    assert set(asked["metrics"]) <= {metric["metric_name"] for metric in dataset["metrics"]}
    assert asked["orderby"]
    assert chart["params"]["viz_type"] == chart["viz_type"]


def test_the_datasets_are_the_marts_of_the_contract() -> None:
    read = {f"{dataset['schema']}.{dataset['table_name']}" for dataset in DATASETS.values() if "sql" not in dataset}
    read |= {name for dataset in DATASETS.values() for name in re.findall(r"FROM (\S+)", dataset.get("sql", ""))}
    assert read == {tables.MART_DAILY, tables.MART_FORECASTS, tables.MART_ACCURACY, tables.MART_PARITY, tables.MART_JOBS}


def test_the_bundle_has_the_stacks_address_and_no_password() -> None:
    files = unpacked()
    uri = yaml.safe_load(files["rd360/databases/rd360.yaml"])["sqlalchemy_uri"]
    assert uri == "postgresql+psycopg2://rd360_reader:XXXXXXXXXX@db.example:5432/rd360"
    assert "127.0.0.1" not in "".join(files.values())


def test_every_chart_in_the_bundle_can_be_asked_for_its_rows() -> None:
    charts = {name: yaml.safe_load(text) for name, text in unpacked().items() if "/charts/" in name}
    assert len(charts) == len(CHARTS)
    for chart in charts.values():
        context = json.loads(chart["query_context"])
        assert context["form_data"] == chart["params"]
        assert context["queries"] == [bundle.query(chart["params"])]


def test_a_time_series_is_grouped_by_its_axis_and_a_list_of_rows_is_ordered() -> None:
    series = bundle.query(CHARTS["charts/units_by_category.yaml"]["params"])
    assert [c["sqlExpression"] if isinstance(c, dict) else c for c in series["columns"]] == ["local_day", "category"]
    assert series["columns"][0]["timeGrain"] == "P1D"
    assert bundle.query(CHARTS["charts/job_runs.yaml"]["params"])["orderby"] == [["started_at", False]]
    assert bundle.query(CHARTS["charts/accuracy_by_candidate.yaml"]["params"])["orderby"] == [["weighted_wape", True]]


class FakeSuperset:
    """Dashboards whose charts return the rows that the test says."""

    def __init__(self, **rows: int) -> None:
        self.rows = rows

    def dashboards(self) -> list[Dashboard]:
        return [Dashboard("demand", "Demand", "http://superset/demand", len(self.rows))] if self.rows else []

    def check(self, slug: str) -> list[Chart]:
        return [Chart(slug, name, rows, None if rows >= 0 else "no such table") for name, rows in self.rows.items()]


@pytest.mark.parametrize(
    ("superset", "complaint"),
    [
        (FakeSuperset(sales=4, parity=0), "parity: its query returns no row"),
        (FakeSuperset(sales=-1), "sales: no such table"),
        (FakeSuperset(), "there is no dashboard"),
    ],
)
def test_an_empty_chart_fails_the_check(superset: FakeSuperset, complaint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "_superset", lambda: superset)
    error: Any = CliRunner().invoke(dashboards.app, ["check"]).exception
    assert isinstance(error, DataGateError)
    assert error.exit_code == 5
    assert complaint in error.why


def test_charts_with_rows_pass_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboards, "_superset", lambda: FakeSuperset(sales=4, parity=2))
    done = CliRunner().invoke(dashboards.app, ["check", "--json"])
    assert done.exit_code == 0
    assert [chart["rows"] for chart in json.loads(done.stdout)] == [4, 2]
