"""`rd360 lake …`: the archive's jobs, each in its session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import DataGateError, UsageError
from contracts.settings import Settings, load_settings
from infra.cli.console import json_result, note, result, table
from infra.cli.lake_told import audit_rows, maintained, megabytes, told
from infra.cli.options import FirstDay, LastDay, days
from infra.cli.spark_progress import shown

if TYPE_CHECKING:  # Spark is imported by the command that needs it: the help must be quick
    from pyspark.sql import SparkSession

    from lake.report import JobReport

app = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")]
Job = Callable[["SparkSession", Settings], "JobReport"]


@app.command()
def bronze(
    available_now: Annotated[bool, typer.Option("--available-now", help="End when all that Kafka has now is read.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Write down what Kafka dropped before it was read, and read on after it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy Kafka's messages to the lake as they are: continuously, or what is there now."""
    from lake.jobs import bronze as job

    def read(session: SparkSession, settings: Settings) -> JobReport:
        return job.run(session, settings, available_now=available_now, accept_loss=accept_loss)

    _run("bronze", read, as_json)


@app.command()
def silver(
    again: Annotated[
        bool, typer.Option("--requarantine", help="Judge what is in quarantine again, by the rule of today, and nothing else.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --requarantine: count by reason, and write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Check, deduplicate and type what bronze has and silver has not seen."""
    if again:
        from lake.jobs import requarantine

        _run("silver", lambda session, settings: requarantine.run(session, settings, dry_run=dry_run), as_json, kept=not dry_run)
        return
    if dry_run:
        raise UsageError("Silver has no dry run", doing="making silver", hint="--dry-run goes with --requarantine.")
    from lake.jobs import silver as job

    _run("silver", job.run, as_json)


@app.command()
def gold(
    full: Annotated[bool, typer.Option("--full", help="Make every day anew, not only those that new events touch.")] = False,
    first: FirstDay = None,
    last: LastDay = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Make the daily table of store × product, and complete the master data."""
    from lake.jobs import gold as job

    report = _run_months("gold", job.run, first, last, full=full, dry_run=dry_run, as_json=as_json)
    for name, rows in report.detail.get("rows", {}).items() if not as_json else ():
        result(f"  {name}: {rows} rows")


@app.command()
def actuals(
    full: Annotated[bool, typer.Option("--full", help="Make every month anew, not only those that changed.")] = False,
    first: FirstDay = None,
    last: LastDay = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Hold served and scored forecasts against what came."""
    from lake.jobs import actuals as job

    _run_months("actuals", job.run, first, last, full=full, dry_run=dry_run, as_json=as_json)


@app.command()
def reference(
    folder: Annotated[Path, typer.Argument(help="Folder with products.parquet, stores.parquet or both.", file_okay=False)],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Load the master data of products and stores."""
    from lake.jobs import reference as job

    report = _run(
        "reference", lambda session, settings: job.run(session, settings, folder, dry_run=dry_run), as_json, kept=not dry_run
    )
    if not as_json:
        for view, changed in report.detail["changed"].items():
            result(f"  {view}: {report.detail[view]} rows, {changed} keys new, changed or gone")


@app.command()
def calendar(
    file: Annotated[Path, typer.Argument(help="Parquet or CSV file: day, name and, where not of all, store_id.", dir_okay=False)],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put the holidays of a file in the place of the library's."""
    from lake.jobs import calendar as job

    _run("calendar", lambda session, settings: job.run(session, settings, file, dry_run=dry_run), as_json, kept=not dry_run)


@app.command()
def marts(dry_run: DryRun = False, as_json: Json = False) -> None:
    """Publish what dashboards read to PostgreSQL: all marts change together."""
    from lake.jobs import marts as job

    _run("marts", lambda session, settings: job.run(session, settings, dry_run=dry_run), as_json, kept=not dry_run)


@app.command()
def maintain(
    snapshot_hours: Annotated[float, typer.Option(min=0, help="Snapshots younger than this stay, and always the last 20.")] = 1.0,
    orphan_days: Annotated[float, typer.Option(min=1, help="Files of no snapshot that are younger than this stay.")] = 3.0,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Merge small files, expire old snapshots, remove files of no snapshot; say what it saved."""
    from lake.jobs import maintain as job
    from lake.maintain import Ages

    ages = Ages(snapshot_hours, orphan_days)
    report = _run(
        "maintain", lambda session, settings: job.run(session, settings, ages=ages, dry_run=dry_run), as_json, kept=not dry_run
    )
    if as_json:
        return
    columns = ("table", "files", "MB", "stored MB", "snapshots", "manifests", "to merge", "expired", "orphans")
    table(columns, [maintained(kept) for kept in report.detail["tables"]])
    result(f"All tables: {megabytes(*report.detail['stored'].values())} MB in the store")
    for kept in report.detail["tables"]:
        for name in kept["orphan_names"]:
            note(f"orphan: {name}")


@app.command()
def audit(as_json: Json = False) -> None:
    """Check that the lake has every message once: bronze against Kafka, silver against bronze. Exits 5 where it has not."""
    from lake.jobs import audit as job

    with _session("audit", quiet=as_json) as (session, settings):
        found = job.run(session, settings)
    if as_json:
        json_result(found.as_dict())
    else:
        columns = ("topic", "partition", "kafka", "bronze", "waiting", "missing", "void", "lost", "repeated")
        table(columns, [[str(value) for value in row] for row in audit_rows(found.partitions)])
        seen = found.silver.totals
        result(
            f"{seen['lines_in']} lines: {seen['silver_lines']} silver, {seen['duplicate_lines']} repeated,"
            f" {seen['quarantined']} quarantined"
        )
    if found.faults:
        raise DataGateError(
            f"The lake does not have every message once: {len(found.faults)} faults",
            doing="auditing the lake",
            why="; ".join(found.faults[:5]),
            hint="`./rd360 lake audit --json` lists the first offsets of each partition."
            + (f" One row of each repeated offset is left by {found.leave_one}" if found.leave_one else ""),
        )


@app.command()
def quality(
    of_table: Annotated[str | None, typer.Option("--table", help="Only the rules about this table.", metavar="TABLE")] = None,
    as_json: Json = False,
) -> None:
    """Ask every quality rule of what is published. Exits 5 where one that stops publication does not hold."""
    from lake.jobs import quality as job

    with _session("quality", quiet=as_json) as (session, settings):
        findings = job.run(session, settings, of_table)
    if as_json:
        json_result([finding.as_dict() for finding in findings])
    else:
        table(("rule", "table", "state", "faults"), [(f.rule.name, f.rule.table, f.state, str(f.faults)) for f in findings])
        for finding in findings:
            if finding.months:
                note(str(finding))
    if broken := [finding for finding in findings if finding.stops]:
        raise DataGateError(
            f"The lake breaks {len(broken)} of its quality rules",
            doing="checking quality",
            why="; ".join(finding.rule.name for finding in broken),
            hint="`./rd360 lake quality --json` has the first rows of each.",
        )


@app.command()
def run(as_json: Json = False) -> None:
    """Run the whole line once in one session: bronze, silver, gold, forecasts against what came, offline features."""
    from lake.jobs import run as line

    reports = []
    with _session("run", quiet=as_json) as (session, settings):
        for report in line.run(session, settings):
            for said in told(report):
                (note if as_json else result)(said)
            reports.append(report.as_dict())
    if as_json:
        json_result({"steps": {report["job"]: report for report in reports}})
    note("Next: ./rd360 lake audit, ./rd360 lake marts, ./rd360 features materialize")


@contextmanager
def _session(name: str, *, quiet: bool) -> Iterator[tuple[SparkSession, Settings]]:
    from lake.session import open_session, spark_errors

    settings = load_settings()
    session = open_session(settings, f"rd360 lake {name}")
    try:
        with shown(session, name, quiet=quiet), spark_errors(f"running lake {name}"):
            yield session, settings
    finally:
        session.stop()


def _run(name: str, job: Job, as_json: bool, *, kept: bool = True) -> JobReport:
    from lake.marts import record_job

    with _session(name, quiet=as_json) as (session, settings):
        report = job(session, settings)
    if kept:
        record_job(settings, report)
    if as_json:
        json_result(report.as_dict())
    else:
        for said in told(report):
            result(said)
    return report


def _run_months(
    name: str, job: Callable[..., JobReport], first: str | None, last: str | None, *, full: bool, dry_run: bool, as_json: bool
) -> JobReport:
    """A job that makes months anew: those that changed, all, or those of a span of days."""
    span = days(first, last, full=full)

    def made(session: SparkSession, settings: Settings) -> JobReport:
        return job(session, settings, full=full, days=span, dry_run=dry_run)

    report = _run(name, made, as_json, kept=not dry_run)
    if not as_json and report.detail.get("months"):
        result(f"  months: {', '.join(report.detail['months'])}")
    return report
