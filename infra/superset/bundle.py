"""The dashboards as one import bundle, from the files in `assets/`."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import yaml

ASSETS = Path(__file__).parent / "assets"
DATABASE = "databases/rd360.yaml"
ADDRESS = "POSTGRES_ADDRESS"  # stands in the database's URI for host:port, which differs from stack to stack


def build(postgres_address: str, assets: Path = ASSETS) -> bytes:
    """The bundle as a zip file. The database's password is not in it: the import takes it beside."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for path in sorted(assets.rglob("*.yaml")):
            name = path.relative_to(assets).as_posix()
            text = path.read_text(encoding="utf-8")
            if name == DATABASE:
                text = text.replace(ADDRESS, postgres_address)
            if name.startswith("charts/"):
                text = with_query(text)
            bundle.writestr(f"rd360/{name}", text)
    return buffer.getvalue()


def with_query(chart: str) -> str:
    """A chart's file with the query that its parameters mean: Superset draws a chart without it, but its API needs it."""
    content = yaml.safe_load(chart)
    parameters = content["params"]
    context = {
        "datasource": {"id": 0, "type": "table"},  # Superset fills in the dataset's number
        "force": False,
        "queries": [query(parameters)],
        "form_data": parameters,
        "result_format": "json",
        "result_type": "full",
    }
    return yaml.safe_dump({**content, "query_context": json.dumps(context)}, sort_keys=False, allow_unicode=True)


def query(parameters: dict[str, Any]) -> dict[str, Any]:
    """The query of a chart's parameters, for the kinds of charts that we use: time series, and tables of groups or of rows."""
    common = {"filters": [], "extras": {"having": "", "where": ""}, "row_limit": parameters["row_limit"], "annotation_layers": []}
    if parameters.get("query_mode") == "raw":
        order = [json.loads(column) for column in parameters.get("order_by_cols", [])]
        return {**common, "columns": parameters["all_columns"], "metrics": [], "orderby": [[c, asc] for c, asc in order]}
    metrics = parameters["metrics"]
    by = parameters.get("timeseries_limit_metric") or metrics[0]
    return {
        **common,
        "columns": [*_axis(parameters), *parameters["groupby"]],
        "metrics": metrics,
        "orderby": [[by, not parameters["order_desc"]]],
    }


def _axis(parameters: dict[str, Any]) -> list[dict[str, str]]:
    if "x_axis" not in parameters:
        return []
    axis = {
        "columnType": "BASE_AXIS",
        "sqlExpression": parameters["x_axis"],
        "label": parameters["x_axis"],
        "expressionType": "SQL",
    }
    return [axis | ({"timeGrain": parameters["time_grain_sqla"]} if "time_grain_sqla" in parameters else {})]
