"""`rd360 features apply | offline | materialize | parity | rebuild | show | feast`: the feature store, and its proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from contracts.clock import system_clock
from contracts.errors import DataGateError, NotFoundError, UsageError
from contracts.features import FEATURES, PRICE_PLAN, SALES_ROLLING, STATEFUL, STOCK, VIEWS, Feature
from contracts.request_features import request_features
from contracts.settings import Settings, load_settings
from contracts.topics import ALL_STORES
from contracts.windows import StoreCalendars
from infra.cli.console import json_result, note, result, table
from infra.cli.options import FirstDay, LastDay, days
from infra.cli.spark_progress import shown

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, do nothing.")]
Views = Annotated[list[str] | None, typer.Option("--view", help="This view alone; can be given more than once.")]
LAKE_COMMANDS = {"apply", "plan", "materialize", "materialize-incremental", "get-historical-features"}  # of Feast, on Spark
BATCH_TIMEOUT_MS = 10_000  # a job reads thousands of rows at a time; the limit of a forecast's read is not meant for it


@app.command()
def apply(as_json: Json = False, dry_run: DryRun = False) -> None:
    """Bring Feast's registry to what the catalogue says. A second run changes nothing."""
    from featurestore.registry import apply as apply_catalogue

    changes = asdict(apply_catalogue(load_settings(), dry_run=dry_run))
    if as_json:
        json_result({**changes, "dry_run": dry_run})
    else:
        table(
            ("view", "action"), [(name, what) for what in ("added", "changed", "removed", "unchanged") for name in changes[what]]
        )
    note("Next: ./rd360 features materialize, ./rd360 features show")


@app.command()
def materialize(views: Views = None, as_json: Json = False, dry_run: DryRun = False) -> None:
    """Write the latest rows of the batch views online."""
    from featurestore.materialize import BATCH_VIEWS, materialize, online_rows
    from featurestore.online import open_online_store

    settings = load_settings()
    chosen = _views(views, BATCH_VIEWS)
    started = system_clock()
    if not dry_run:
        materialize(settings, chosen, started)
    online = open_online_store(settings)
    try:
        rows = {view: online_rows(online, view) for view in chosen}
    finally:
        online.close()
    seconds = (system_clock() - started) / 1000
    if as_json:
        json_result({"rows": rows, "seconds": seconds, "dry_run": dry_run})
    else:
        table(("view", "online rows"), [(view, str(count)) for view, count in rows.items()])
    note("Next: ./rd360 features parity")


@app.command()
def offline(
    full: Annotated[bool, typer.Option("--full", help="Make every row anew, not only those that new events touch.")] = False,
    first: FirstDay = None,
    last: LastDay = None,
    as_json: Json = False,
    dry_run: DryRun = False,
) -> None:
    """Make the offline tables from silver and gold: the streaming views on the snapshot grid, the daily view."""
    from lake.jobs import features as job
    from lake.marts import record_job
    from lake.session import open_session

    span = days(first, last, full=full)
    settings = load_settings()
    session = open_session(settings, "rd360 features offline")
    try:
        with shown(session, "features offline", quiet=as_json):
            report = job.run(session, settings, full=full, days=span, dry_run=dry_run)
    finally:
        session.stop()
    if not dry_run:
        record_job(settings, report)
    if as_json:
        json_result(report.as_dict())
    else:
        table(("view", "rows"), [(view, str(rows)) for view, rows in report.detail.get("rows", {}).items()])
        if report.detail.get("months"):
            result(f"Months in UTC: {', '.join(report.detail['months'])}")
    note("Next: ./rd360 features materialize")


@app.command()
def parity(
    views: Views = None,
    sample: Annotated[
        float, typer.Option(min=0.0001, max=1.0, help="The share of keys to compare, by the hash of key and salt.")
    ] = 1.0,
    salt: Annotated[
        str | None, typer.Option(help="Take the sample of the run that named this salt. Without it each run takes other keys.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="The share of a feature's values, from 0 to 1, that may differ, missing and extra ones among them; the worst"
            " feature decides.",
            show_default="RD360_PARITY_THRESHOLD, 0",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare the online features with what the lake recomputes as of the same instants. Exits 5 where more than the threshold
    differs of any feature."""
    from featurestore.online import open_online_store
    from lake.jobs import parity as job
    from lake.session import open_session

    settings = load_settings()
    chosen = _views(views, tuple(VIEWS))
    allowed = settings.parity_threshold if threshold is None else threshold
    online = open_online_store(settings.model_copy(update={"online_read_timeout_ms": BATCH_TIMEOUT_MS}))
    try:
        session = open_session(settings, "rd360 features parity")
        try:
            with shown(session, "features parity", quiet=as_json):
                report = job.run(session, settings, online, chosen, share=sample, salt=salt, threshold=allowed)
        finally:
            session.stop()
    finally:
        online.close()
    if as_json:
        json_result(report.as_dict())
    else:
        columns = ("view", "compared", "missing", "extra", "mismatches", "features that differ")
        table(columns, [_parity_row(view.as_dict()) for view in report.views])
        for view in report.views:
            for example in view.examples[:3]:
                what = f"{example.feature} is {example.online}, the lake says {example.lake}" if example.feature else example.kind
                note(f"{view.view} {'/'.join(example.key)}: {what}")
    if sample < 1:
        note(f"Of the keys {sample:.4%}, by their hash. The same ones again: --sample {sample} --salt {report.sample.salt}")
    job.gate(report, views or ())
    how = f"Within the threshold of {allowed:.4%}: {report.worst}" if report.worst else "Equal"
    note(f"{how}; {report.compared} rows in {report.seconds:.0f} s")


@app.command()
def rebuild(
    views: Views = None,
    online: Annotated[bool, typer.Option("--online", help="Only have the worker write all its online rows again.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that the worker may take.")] = 300.0,
    as_json: Json = False,
) -> None:
    """Make the states of keys with late events anew from the lake, and have the worker take them over. It must run.

    Exits 5 where a key got new events all the time, so that it could not be: run it again.
    """
    if online:
        _rebuild_online(views, timeout, as_json)
        return
    from infra.feature_rebuild import rebuild as heal
    from lake.session import open_session

    settings = load_settings()
    session = open_session(settings, "rd360 features rebuild")
    try:
        found = heal(session, settings, _views(views, [view.name for view in STATEFUL]), timeout, note)
    finally:
        session.stop()
    if as_json:
        json_result([asdict(view) for view in found])
    else:
        columns = ("view", "late events", "keys", "healed", "moved on", "seconds")
        counts = [(v.view, v.late_events, v.keys, v.healed, len(v.moved_on), round(v.seconds, 1)) for v in found]
        table(columns, [tuple(map(str, row)) for row in counts])
    moving = [f"{view.view} {'/'.join(key)}" for view in found for key in view.moved_on]
    if moving:
        raise DataGateError(
            f"{len(moving)} keys got new events each time they were made anew",
            doing="rebuilding features",
            why=f"the first is {moving[0]}",
            hint="Run it again when fewer events come.",
        )
    note("Next: ./rd360 features parity")


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="A feature or a view of the catalogue.")] = None,
    store: Annotated[str | None, typer.Option(help="Show the online values of this store.")] = None,
    product: Annotated[str | None, typer.Option(help="Show the online values of this product.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The whole catalogue as docs/features.md.")] = False,
    as_json: Json = False,
) -> None:
    """Show the catalogue, one feature of it, or the online values of a store and product."""
    if markdown:
        from featurestore.catalogue import markdown as whole

        result(whole().rstrip("\n"))
    elif store or product:
        _show_online(load_settings(), store, product, name, as_json)
    else:
        chosen = _features(name)
        if as_json:
            json_result([asdict(feature) for feature in chosen])
        elif len(chosen) == 1:
            table(("field", "value"), [(key, str(value)) for key, value in asdict(chosen[0]).items()])
        else:
            table(("feature", "view", "type", "unit", "why"), [(f.name, f.view, f.dtype, f.unit, f.why) for f in chosen])


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def feast(context: typer.Context) -> None:
    """Run Feast's own command on this repository, such as `feature-views list` or `ui`."""
    import os

    from feast.cli.cli import cli

    from featurestore.repo import REPO, feast_environment
    from featurestore.spark_session import lake_session

    settings = load_settings()
    os.environ.update(feast_environment(settings))  # what feature_store.yaml names
    if set(context.args) & LAKE_COMMANDS:
        lake_session(settings)  # Feast takes the running session: its own would lack the lake's catalog and secrets
    cli(["--chdir", str(REPO), *context.args])


def _views(given: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in given or () if name not in known]
    if unknown:
        raise UsageError(
            f"There is no view {', '.join(unknown)} here", doing="choosing the views", hint=f"There are {', '.join(known)}."
        )
    return tuple(given or known)


def _rebuild_online(views: Views, timeout: float, as_json: bool) -> None:
    from streams.refill import rebuild_online

    if views:
        raise UsageError("--online writes the rows of all views", doing="choosing the views", hint="Leave out --view.")
    done = rebuild_online(load_settings(), timeout)
    if as_json:
        json_result(asdict(done))
    else:
        result(f"{done.rows} rows of {done.partitions} partitions in {done.seconds} s")


def _features(name: str | None) -> list[Feature]:
    chosen = [feature for feature in FEATURES if name in (None, feature.name, feature.view)]
    if not chosen:
        raise NotFoundError(
            f"The catalogue has no feature or view {name}",
            doing="reading the catalogue",
            hint="`./rd360 features show` lists them.",
        )
    return chosen


def _show_online(settings: Settings, store: str | None, product: str | None, name: str | None, as_json: bool) -> None:
    from featurestore.online import open_online_store

    names = {feature.view for feature in _features(name)} if name else set(VIEWS)
    online = open_online_store(settings)
    try:
        rows: dict[tuple[str, tuple[str, ...]], dict[str, Any] | None] = {}
        for view, keys in _keys(store, product).items():
            if view in names:
                rows |= {(view, key): row for key, row in zip(keys, online.read(view, keys), strict=True)}
    finally:
        online.close()
    if not any(rows.values()):
        raise NotFoundError(f"Nothing is online of store {store}, product {product}", doing="reading the online store")
    if store and product and name is None:
        rows["when asked", (store, product)] = _asked_now(settings, store, product, rows)
    if as_json:
        json_result([{"view": view, "key": key, "row": row} for (view, key), row in rows.items()])
    else:
        table(("view", "key", "column", "value"), [line for (view, key), row in rows.items() for line in _lines(view, key, row)])


def _asked_now(settings: Settings, store: str, product: str, rows: dict[tuple[str, tuple[str, ...]], Any]) -> dict[str, Any]:
    """The features that no row holds, as of now and for the store's own day."""
    calendar, now = StoreCalendars(settings.time_zone, settings.store_time_zones).of(store), system_clock()
    here = (store, product)
    plans = rows.get((PRICE_PLAN.name, here)), rows.get((PRICE_PLAN.name, (ALL_STORES, product)))
    rolling, stock = rows.get((SALES_ROLLING.name, here)), rows.get((STOCK.name, here))
    return request_features(now, calendar.day(now), rolling, stock, plans)


def _keys(store: str | None, product: str | None) -> dict[str, list[tuple[str, ...]]]:
    """The keys to read of each view whose entities are given; price plans also for all stores."""
    given = {"store": store, "product": product}
    keys: dict[str, list[tuple[str, ...]]] = {}
    for view in VIEWS.values():
        values = [given[entity] for entity in view.entities]
        if all(values):
            keys[view.name] = [tuple(str(value) for value in values)]
    if PRICE_PLAN.name in keys:
        keys[PRICE_PLAN.name].append((ALL_STORES, str(product)))
    return keys


def _lines(view: str, key: tuple[str, ...], row: dict[str, Any] | None) -> list[tuple[str, str, str, str]]:
    name = "/".join(key)
    if row is None:
        return [(view, name, "-", "no row")]
    return [(view, name, column, str(value)) for column, value in row.items()]


def _parity_row(view: dict[str, Any]) -> tuple[str, ...]:
    differ = [f"{name} ({count})" for name, count in view["mismatches"].items() if count]
    counts = (view["compared"], view["missing"], view["extra"], sum(view["mismatches"].values()))
    return (view["view"], *(str(count) for count in counts), ", ".join(differ) or "none")
