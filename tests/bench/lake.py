"""`rd360 bench lake`: bronze to silver, gold and features by Spark, beside DuckDB doing the same SQL to the same receipts."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import psutil
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts.features import CATEGORY_ROLLING, DEMAND_DAILY, SALES_ROLLING, STORE_ROLLING, VIEWS, features_of
from contracts.settings import Settings
from contracts.topics import SALES
from lake import schemas
from lake.jobs import features, gold, silver
from tests.bench import lake_duckdb, lake_receipts
from tests.outcome import Bar, Outcome
from tests.own_lake import add_to_bronze, own_lake

QUICK_LINES = (50_000,)
SAMPLE_SECONDS = 0.5
DUCKDB_MEMORY_GB = 8
DUCKDB_PART_LINES = 2_000_000  # of which it makes features at a time: faster than more, which it spills, or fewer
JOBS = {"silver": silver.run, "gold": gold.run, "features": features.run}
COMPARED = (SALES_ROLLING.name, STORE_ROLLING.name, CATEGORY_ROLLING.name, DEMAND_DAILY.name)
CORRECT = (Bar("differences", at_most=0), Bar("values_compared", at_least=1))
TIMING = (Bar("times_duckdb", at_most=4.0), Bar("growth", at_most=1.1), Bar("memory_growth", at_most=1.25))


@dataclass(frozen=True, slots=True)
class Run:
    """One size: what was read, the seconds of each step by either engine, and whether they found the same."""

    lines: int
    messages: int
    lake_seconds: dict[str, float]
    duckdb_seconds: dict[str, float]
    lake_peak_mb: float
    values: int
    differences: list[str]

    def as_dict(self) -> dict[str, Any]:
        """The run as JSON-ready values."""
        ours, theirs = sum(self.lake_seconds.values()), sum(self.duckdb_seconds.values())
        return {
            "lines": self.lines,
            "messages": self.messages,
            "lake_seconds": round(ours, 1),
            "duckdb_seconds": round(theirs, 1),
            "times_duckdb": round(ours / theirs, 2),
            **{f"lake_{step}_seconds": round(seconds, 1) for step, seconds in self.lake_seconds.items()},
            **{f"duckdb_{step}_seconds": round(seconds, 1) for step, seconds in self.duckdb_seconds.items()},
            "lake_peak_mb": round(self.lake_peak_mb),
            "values_compared": self.values,
            "differences": self.differences,
        }


def run(settings: Settings, sizes: Sequence[int], say: Callable[[str], None], *, quick: bool = False) -> Outcome:
    """Each number of lines through both. The lake's servers must be there; its tables are the bench's own."""
    runs = []
    for lines in sorted(QUICK_LINES if quick else sizes):
        found = _measured(settings, lines, say).as_dict()
        say(
            f"{found['lines']:,} lines: {found['lake_seconds']:,.0f} s, DuckDB {found['duckdb_seconds']:,.0f} s:"
            f" {found['times_duckdb']} times, {found['lake_peak_mb']:,} MB"
        )
        runs.append(found)
    figures = {
        f"{name}_{one['lines']}_lines": one[name] for name in ("lake_seconds", "duckdb_seconds", "lake_peak_mb") for one in runs
    }
    figures["times_duckdb"] = runs[-1]["times_duckdb"]
    figures["values_compared"] = min(one["values_compared"] for one in runs)
    figures["differences"] = sum(len(one["differences"]) for one in runs)
    if len(runs) > 1:
        longer = runs[-1]["lines"] / runs[-2]["lines"]
        figures["growth"] = round(runs[-1]["lake_seconds"] / runs[-2]["lake_seconds"] / longer, 3)
        figures["memory_growth"] = round(runs[-1]["lake_peak_mb"] / runs[-2]["lake_peak_mb"], 3)
    notes = [
        "From bronze on: receipts are JSON bytes, 2 % repeated. Both write silver, gold.daily, 3 rolling views and a daily one.",
        "growth: seconds a line of the largest run over those of the one before; memory_growth: its peak over that one's.",
        *(difference for one in runs for difference in one["differences"][:5]),
    ]
    timing = () if quick else (TIMING if len(runs) > 1 else TIMING[:1])
    return Outcome("bench lake", figures, (*CORRECT, *timing), runs, notes)


def _measured(settings: Settings, lines: int, say: Callable[[str], None]) -> Run:
    tag = f"bench-{uuid.uuid4().hex[:8]}"
    own = settings.model_copy(update={"topic_prefix": f"{tag}.", "time_zone": "UTC", "store_time_zones": {}})
    folder = Path(tempfile.mkdtemp(prefix="rd360-lake-"))
    try:
        sent = lake_receipts.write(folder / "raw", lines, SALES.name(own.topic_prefix), own.topic_partitions)
        say(f"{sent.messages:,} receipts, {sent.lines:,} lines are written")
        theirs = dict(
            _timed(lake_duckdb.run(folder / "raw", folder / "duckdb", DUCKDB_MEMORY_GB, max(1, lines // DUCKDB_PART_LINES)))
        )
        with own_lake(settings, tag) as session, _peak_memory() as peak:
            schemas.create_if_missing(session)
            add_to_bronze(session.read.parquet(str(folder / "raw")))  # not timed
            ours = {}
            for name, job in JOBS.items():
                began = perf_counter()
                job(session, own)
                ours[name] = perf_counter() - began
                say(f"{name}: {ours[name]:,.1f} s, DuckDB {theirs[name]:,.1f} s")
            values, differences = compare(session, folder / "duckdb")
        return Run(sent.lines, sent.messages, ours, theirs, peak[0], values, differences)
    finally:
        shutil.rmtree(folder)


def compare(session: SparkSession, theirs: Path) -> tuple[int, list[str]]:
    """How many sums were compared, and those that differ: the count and the sum of each column of each table."""
    tables = {"silver": schemas.SILVER_SALES.name, "daily": schemas.GOLD_DAILY.name}
    columns = {
        "silver": ["quantity", "unit_price", "list_price", "offset"],
        "daily": ["units", "returned_units", "sales_cents", "refund_cents", "receipts", "promotion_units"],
    }
    for view in COMPARED:
        tables[view] = VIEWS[view].table
        numbers = [feature.name for feature in features_of(view) if feature.dtype in ("int64", "float64")]
        columns[view] = [name for name in numbers if name != "in_stock_share_28d"]  # of stock, which the bench has none of
    values, differences = 0, []
    with duckdb.connect() as connection:
        for name, table in tables.items():
            ours = (
                session.table(table)
                .agg(sf.count("*"), *(sf.sum(sf.col(column).cast("double")) for column in columns[name]))
                .first()
            )
            wanted = ", ".join(f'sum("{column}"::DOUBLE)' for column in columns[name])
            expected = connection.execute(f"SELECT count(*), {wanted} FROM {lake_duckdb.files(theirs, name)}").fetchone()
            for column, one, other in zip(("rows", *columns[name]), ours or (), expected or (), strict=True):
                values += 1
                # sums of doubles depend on their order, in the last digits
                if abs((one or 0) - (other or 0)) > 1e-9 * abs(other or 0):
                    differences.append(f"{table} {column}: {one}, DuckDB {other}")
    return values, differences


def _timed(steps: Iterator[str]) -> Iterator[tuple[str, float]]:
    began = perf_counter()
    for name in steps:
        yield name, perf_counter() - began
        began = perf_counter()


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """The largest resident memory, MB, of this process and all below it while the block runs: Spark and its Python workers."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(SAMPLE_SECONDS):
            total = 0
            for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue  # a Python worker that has just ended
            peak[0] = max(peak[0], total / 2**20)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
