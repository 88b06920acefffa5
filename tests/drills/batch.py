"""What the online rows must hold, recomputed by Spark from what was sent: a lake in a folder, without any server.

Messages become silver rows by the lake's own decoding, and features by `lake.recompute`; nothing of it knows a tile.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import StorageLevel
from pyspark.sql import SparkSession

from contracts.clock import system_clock
from contracts.settings import Settings
from contracts.spark_conf import spark_conf
from contracts.tables import CATALOG
from featurestore.spark_session import require_jars
from infra import feature_rebuild
from infra.cli.console import note
from infra.feature_rebuild import ViewRebuild
from lake import progress, recompute, silver
from lake.parity import Key, Row, ViewParity, compare
from lake.schemas import PROGRESS, SILVER_OF_KIND, SILVER_PROGRESS, create_if_missing
from lake.stream_position import LateKey
from streams.kernels import kernels
from tests.drills.arrival import Sent

CHUNK = 50_000  # messages a row group
_BRONZE = pa.schema(
    [
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("kafka_time", pa.timestamp("ms", "UTC")),
        ("key", pa.binary()),
        ("value", pa.binary()),
    ]
)


def compared(
    settings: Settings,
    sent: Sequence[Sent],
    online: Mapping[str, Mapping[Key, Row]],
    committed: recompute.Committed,
    late: Mapping[str, Collection[LateKey]],
    folder: Path,
) -> list[ViewParity]:
    """The findings of each view of `online`, all keys and all features, each row as of its own instant."""
    session = _session(settings, folder)
    try:
        _fill(session, settings, sent, folder)
        required = recompute.required_by_stream(session, settings, list(online), committed, late)
        found = []
        for view, rows in online.items():
            asked = recompute.fences(view, rows, committed, settings)
            recomputed = recompute.streaming(session, settings, view, asked, late[view])
            found.append(compare(view, rows, recomputed, required[view]))
        return found
    finally:
        session.stop()


def heal(settings: Settings, sent: Sequence[Sent], folder: Path, timeout: float) -> list[ViewRebuild]:
    """What became of the late events once their keys were made anew from the same lake. A worker must run."""
    session = _session(settings, folder)
    try:
        _fill(session, settings, sent, folder)
        return [feature_rebuild.heal(session, settings, kernel, timeout, note) for kernel in kernels(settings)]
    finally:
        session.stop()


def _session(settings: Settings, folder: Path) -> SparkSession:
    """A session as the lake's, whose catalog is a folder instead of PostgreSQL and S3."""
    require_jars(settings)
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the workers' interpreter; pyspark takes it from nowhere else
    catalog = f"spark.sql.catalog.{CATALOG}"
    conf = {name: value for name, value in spark_conf(settings).items() if not name.startswith(f"{catalog}.")}
    conf |= {f"{catalog}.type": "hadoop", f"{catalog}.warehouse": f"file:{folder / 'lake'}", "spark.master": "local[*]"}
    builder = SparkSession.builder.appName("rd360 drill")
    for name, value in conf.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def _fill(session: SparkSession, settings: Settings, sent: Sequence[Sent], folder: Path) -> None:
    path = folder / "sent.parquet"
    if path.exists():
        return  # filled before
    write_sent(sent, path, settings.topic_prefix)
    messages = silver.raw(session.read.parquet(f"file:{path}"))
    decoded = silver.decoded(messages, silver.rule_of(settings))
    nothing = session.createDataFrame([], ", ".join(f"{name} string" for name in silver.IDENTITY))
    rows = silver.marked(decoded, nothing).persist(StorageLevel.MEMORY_AND_DISK)
    for kind in {topic.kind for topic in recompute.TOPIC_OF.values()}:
        silver.silver_rows(rows, kind, settings).writeTo(SILVER_OF_KIND[kind].name).create()
    rows.unpersist()
    ends: dict[progress.TopicPartition, int] = {}
    for one in sent:
        ends[one.topic.name(settings.topic_prefix), one.partition] = one.offset + 1
    create_if_missing(session, [table for table in PROGRESS if table.name == SILVER_PROGRESS])
    progress.write(session, SILVER_PROGRESS, ends)


def write_sent(sent: Iterable[Sent], path: Path, prefix: str) -> None:
    """Writes what was sent as bronze has it: one row per message."""
    now, left = system_clock(), iter(sent)
    with pq.ParquetWriter(path, _BRONZE) as file:
        while chunk := list(itertools.islice(left, CHUNK)):
            columns = [
                [one.topic.name(prefix) for one in chunk],
                [one.partition for one in chunk],
                [one.offset for one in chunk],
                [now] * len(chunk),
                [one.key for one in chunk],
                [one.value for one in chunk],
            ]
            file.write_table(pa.table([pa.array(c, f.type) for c, f in zip(columns, _BRONZE, strict=True)], schema=_BRONZE))
