"""The archive drill: receipts shuffled, repeated, partly broken, from Kafka to gold; every line found, revenue to the cent.

A row of the source that can be on no receipt, such as one with a price below zero, is sent as a message of its own: the lake must
have it in quarantine.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql import functions as sf

from contracts.events import Receipt, ReceiptLine, encode
from contracts.settings import Settings
from contracts.tables import GOLD_DAILY
from contracts.topics import SALES
from contracts.windows import HOUR_MS
from lake.audit import audit
from lake.jobs import bronze, gold, silver
from lake.report import JobReport
from tests.drills.arrival import Faults, Sent, arrivals, lines_of, placed
from tests.drills.ground import ground
from tests.drills.sending import send_all
from tests.drills.sources import events_of
from tests.outcome import Bar, Outcome
from tests.own_lake import own_lake

CUT_OF_REPEATED = 0.05
SHOWN = 5
SELLABLE = "quantity <> 0 AND unit_price_cents >= 0"  # rows that can be on a receipt
BARS = (
    Bar("source_lines", at_least=1),
    Bar("source_lines_amiss", at_most=0),
    Bar("lines_unaccounted", at_most=0),
    Bar("messages_unaccounted", at_most=0),
    Bar("duplicates_amiss", at_most=0),
    Bar("quarantined_amiss", at_most=0),
    Bar("audit_faults", at_most=0),
    Bar("series", at_least=1),
    Bar("series_with_other_revenue", at_most=0),
)


@dataclass(frozen=True, slots=True)
class Archive:
    """What to send. Without `data`, about so many `lines` of a simulated retailer."""

    data: Path | None
    lines: int
    seed: int
    shuffle_hours: float = 24.0
    duplicates: float = 0.02


def run(settings: Settings, plan: Archive, say: Callable[[str], None]) -> Outcome:
    """What was found. Raises DependencyUnavailable where a server fails."""
    with ground(settings) as place:
        source = plan.data or _simulated(place.settings, plan, place.folder)
        faults = Faults(int(plan.shuffle_hours * HOUR_MS), plan.duplicates, 0.0, place.settings.allowed_lateness_ms)
        events = [(topic, event) for topic, event in events_of(place.settings, source, None, plan.seed) if topic is SALES]
        events += [(SALES, receipt) for receipt in impossible(source)]
        rng = random.Random(plan.seed)
        sent = list(_broken(placed(arrivals(events, faults, rng), place.settings.topic_partitions), rng))
        send_all(place.settings, sent)
        say(f"{len(sent):,} messages are on Kafka")
        tag = place.settings.topic_prefix.strip(".")
        with own_lake(settings, tag) as session:
            own = place.settings.model_copy(update={"home": place.folder})  # bronze's checkpoint is there
            reports = list(_line(session, own, say))
            faults_found = audit(session, place.settings).faults
            series, differing = revenue(session, source)
        in_source = lines_in(source)
    return _outcome(sent, in_source, {report.job: report for report in reports}, faults_found, series, differing)


def _line(session: SparkSession, settings: Settings, say: Callable[[str], None]) -> Iterator[JobReport]:
    for job in (bronze.run, silver.run, gold.run):
        began = perf_counter()
        report = job(session, settings)
        say(f"{report.job}: {report.rows_in:,} in, {report.rows_out:,} out, {perf_counter() - began:,.1f} s")
        yield report


def _simulated(settings: Settings, plan: Archive, folder: Path) -> Path:
    """The receipts of a simulated retailer as a data set like any other."""
    receipts = [event for _, event in events_of(settings, None, plan.lines, plan.seed) if isinstance(event, Receipt)]
    rows = [
        {
            "event_id": receipt.event_id,
            "event_time": receipt.event_time,
            "store_id": receipt.store_id,
            "product_id": line.product_id,
            "quantity": line.quantity,
            "unit_price_cents": line.unit_price,
            "channel": receipt.channel,
        }
        for receipt in receipts
        for line in receipt.lines
    ]
    table = pa.Table.from_pylist(rows)
    at = table.column_names.index("event_time")
    table = table.set_column(at, "event_time", table["event_time"].cast(pa.timestamp("ms", "UTC")))
    pq.write_table(table, folder / "lines.parquet")
    return folder


def _broken(sent: Iterator[Sent], rng: random.Random) -> Iterator[Sent]:
    """The messages, a few of the repeated ones cut off: what they say is known from the first."""
    for one in sent:
        cut = one.kind == "duplicate" and rng.random() < CUT_OF_REPEATED
        yield one._replace(value=one.value[: len(one.value) // 2]) if cut else one


def lines_in(source: Path) -> int:
    """How many rows the source has, as DuckDB counts them."""
    with duckdb.connect() as connection:
        return int(connection.execute(f"SELECT count(*) FROM '{source}/lines.parquet'").fetchall()[0][0])


def impossible(source: Path) -> list[Receipt]:
    """A receipt of each row of the source that can be on none: the contract refuses it."""
    columns = "event_id, epoch_ms(event_time), store_id, channel, product_id, quantity, unit_price_cents"
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT {columns} FROM '{source}/lines.parquet' WHERE NOT ({SELLABLE})").fetchall()
    return [Receipt(*row[:4], (ReceiptLine(*row[4:]),)) for row in rows]


def _is_taken(one: Sent) -> bool:
    """Whether the contract accepts the message: it is whole, and each of its lines can be on a receipt."""
    sells = isinstance(one.event, Receipt) and all(line.quantity != 0 and line.unit_price >= 0 for line in one.event.lines)
    return sells and one.value == encode(one.event)


def revenue(session: SparkSession, source: Path) -> tuple[int, list[str]]:
    """How many store × product there are, and those whose revenue in gold is not the source's, both in words.

    The source is asked by DuckDB: of its rows those count that can be on a receipt.
    """
    cents = sf.sum(sf.col("sales_cents") - sf.col("refund_cents")).alias("cents")
    of_gold = session.table(GOLD_DAILY).groupBy("store_id", "product_id").agg(cents)
    with duckdb.connect() as connection:
        connection.register("gold", of_gold.toArrow())
        rows = connection.execute(
            f"""
            WITH source AS (
                SELECT store_id, product_id, sum(quantity * unit_price_cents)::BIGINT AS cents FROM '{source}/lines.parquet'
                WHERE {SELLABLE} GROUP BY ALL
            )
            SELECT store_id, product_id, source.cents, gold.cents FROM source FULL JOIN gold USING (store_id, product_id)
            """
        ).fetchall()
    differing = [row for row in rows if row[2] != row[3]]
    return len(rows), [f"{store} {product}: {sold} cents sold, {found} in gold" for store, product, sold, found in differing]


def _outcome(
    sent: list[Sent], in_source: int, reports: dict[str, JobReport], faults: list[str], series: int, differing: list[str]
) -> Outcome:
    refused = [one for one in sent if not _is_taken(one)]
    repeated = sum(one.kind == "duplicate" and _is_taken(one) for one in sent)
    produced = sum(lines_of(one.event) for one in sent) + sum(1 - lines_of(one.event) for one in refused)
    found = reports["silver"].detail
    lines = reports["silver"].rows_out + found["duplicate_lines"] + reports["silver"].rejected
    figures: dict[str, Any] = {
        "messages": len(sent),
        "source_lines": in_source,
        "source_lines_amiss": abs(in_source - sum(lines_of(one.event) for one in sent if one.kind == "event")),
        "lines_produced": produced,
        "silver_lines": reports["silver"].rows_out,
        "duplicate_lines": found["duplicate_lines"],
        "quarantined": reports["silver"].rejected,
        "lines_unaccounted": abs(produced - lines),
        "messages_unaccounted": abs(len(sent) - reports["bronze"].rows_out),
        "duplicates_amiss": abs(repeated - found["duplicates"]),
        "quarantined_amiss": abs(len(refused) - reports["silver"].rejected),
        "audit_faults": len(faults),
        "series": series,
        "series_with_other_revenue": len(differing),
        **{f"{name}_seconds": round(report.seconds, 1) for name, report in reports.items()},
    }
    return Outcome("drill archive", figures, BARS, notes=[*faults[:SHOWN], *differing[:SHOWN]])
