"""`rd360 dashboards apply | check | list`: Superset's dashboards from the files in infra/superset/assets."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import DataGateError
from contracts.settings import load_settings
from infra.cli.console import json_result, note, table

if TYPE_CHECKING:
    from infra.superset.api import Superset

app = typer.Typer(no_args_is_help=True, help="Superset's dashboards: apply them from files, and check their charts.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def apply(as_json: Json = False) -> None:
    """Make Superset's dashboards what the files say, and the database role that they read with. Idempotent."""
    from infra.superset.reader import grant  # imported here: it loads a database driver, which --help does not need

    settings = load_settings()
    grant(settings)
    superset = _superset()
    superset.apply()
    _list(superset, as_json)
    note("Next: ./rd360 dashboards check")


@app.command("list")
def list_dashboards(as_json: Json = False) -> None:
    """List the dashboards and their addresses."""
    _list(_superset(), as_json)


@app.command()
def check(
    dashboard: Annotated[str | None, typer.Argument(help="The dashboard's slug; all of them without it.")] = None,
    as_json: Json = False,
) -> None:
    """Ask every chart for its rows. Exits 5 when one has none."""
    superset = _superset()
    slugs = [dashboard] if dashboard else [d.slug for d in superset.dashboards()]
    charts = [chart for slug in slugs for chart in superset.check(slug)]
    if as_json:
        json_result([dataclasses.asdict(chart) for chart in charts])
    else:
        table(("dashboard", "rows", "chart"), [(c.dashboard, str(c.rows), c.name) for c in charts])
    empty = [f"{chart.name}: {chart.error or 'its query returns no row'}" for chart in charts if chart.error or not chart.rows]
    if empty or not charts:
        raise DataGateError(
            f"{len(empty)} of {len(charts)} charts have no rows",
            doing="asking Superset",
            why="; ".join(empty) or "there is no dashboard",
            hint="Run `./rd360 lake marts` and `./rd360 features parity`, or `./rd360 dashboards apply` where there is none.",
        )


def _superset() -> Superset:
    from infra.superset.api import Superset  # imported here: it loads an HTTP client, which --help does not need

    return Superset(load_settings())


def _list(superset: Superset, as_json: bool) -> None:
    dashboards = superset.dashboards()
    if as_json:
        json_result([dataclasses.asdict(dashboard) for dashboard in dashboards])
    else:
        table(("dashboard", "title", "charts", "address"), [(d.slug, d.title, str(d.charts), d.url) for d in dashboards])
