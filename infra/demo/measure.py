"""What the systems themselves say of a run: Kafka's offsets, the lake's rows, PostgreSQL's monitoring tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.settings import Settings
from contracts.tables import (
    BRONZE_EVENTS,
    GOLD_DAILY,
    MART_ACCURACY,
    MART_PARITY,
    POSTGRES_DATABASE,
    SILVER_DUPLICATES,
    SILVER_FORECASTS,
    SILVER_INVENTORY,
    SILVER_PRICES,
    SILVER_QUARANTINE,
    SILVER_SALES,
)
from contracts.topics import INVENTORY, PRICES, SALES, SOURCES, Topic

if TYPE_CHECKING:
    from featurestore.offline import OfflineStore

SILVER: Mapping[Topic, str] = {SALES: SILVER_SALES, INVENTORY: SILVER_INVENTORY, PRICES: SILVER_PRICES}
Offsets = dict[str, dict[int, int]]  # topic name -> partition -> offset


@dataclass(frozen=True, slots=True)
class Span:
    """The messages of each topic between two readings of Kafka's end offsets: what one run has sent."""

    start: Offsets
    end: Offsets

    def count(self, topic: str) -> int:
        """How many messages of a topic lie in the span; the source topics carry no transaction markers."""
        return sum(end - self.start[topic].get(partition, 0) for partition, end in self.end[topic].items())

    def row_filter(self, topic: str) -> str:
        """An Iceberg filter on `partition` and `offset` that keeps the span's messages of a topic."""
        parts = [
            f"(partition = {partition} and offset >= {self.start[topic].get(partition, 0)} and offset < {end})"
            for partition, end in sorted(self.end[topic].items())
        ]
        return "(" + " or ".join(parts) + ")"


def end_offsets(settings: Settings) -> Offsets:
    """Kafka's end offset of every partition of the source topics and their dead letters."""
    from confluent_kafka import TopicPartition

    from streams.broker import connect, reader

    admin, consumer = connect(settings), reader(settings)
    try:
        names = [name(topic) for topic in SOURCES for name in (_source(settings), _dead(settings))]
        known = admin.list_topics(timeout=10).topics
        return {
            name: {
                partition: consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=10)[1]
                for partition in known[name].partitions
            }
            for name in names
            if name in known
        }
    finally:
        consumer.close()


def lake_counts(settings: Settings, offline: OfflineStore, span: Span) -> dict[str, Any]:
    """Rows that the span's messages became, by topic: bronze messages, silver, quarantined and duplicate lines; gold rows."""
    found: dict[str, Any] = {"bronze": {}, "silver": {}, "quarantined": {}, "duplicates": {}}
    for topic in SOURCES:
        name = topic.name(settings.topic_prefix)
        within = span.row_filter(name)
        of_topic = f"topic = '{name}' and {within}"
        found["bronze"][topic.kind] = offline.read_table(BRONZE_EVENTS, ["offset"], of_topic).num_rows
        found["silver"][topic.kind] = offline.read_table(SILVER[topic], ["offset"], within).num_rows
        for part, table in (("quarantined", SILVER_QUARANTINE), ("duplicates", SILVER_DUPLICATES)):
            found[part][topic.kind] = sum(offline.read_table(table, ["lines"], of_topic)["lines"].to_pylist())
    found["gold_rows"] = offline.read_table(GOLD_DAILY, ["store_id"]).num_rows
    return found


def served_in_lake(offline: OfflineStore, model_version: str, since_ms: int) -> int:
    """How many forecasts that a model version has answered since an instant are in the lake."""
    rows = offline.read_table(SILVER_FORECASTS, ["event_id", "model_version"], f"event_time_ms >= {since_ms}")
    versions = zip(rows["event_id"].to_pylist(), rows["model_version"].to_pylist(), strict=True)
    return len({event for event, version in versions if version == model_version})


def dead_letters(settings: Settings, span: Span) -> dict[str, int]:
    """Dead letters that the stream wrote within the span, by source topic."""
    return {topic.kind: span.count(_dead(settings)(topic)) for topic in SOURCES}


def messages(settings: Settings, span: Span) -> dict[str, int]:
    """Messages within the span, by source topic."""
    return {topic.kind: span.count(_source(settings)(topic)) for topic in SOURCES}


def parity_since(settings: Settings, since_ms: int) -> dict[str, int]:
    """The totals of the latest parity run since an instant; all zero where there was none."""
    rows = _query(
        settings,
        f"select coalesce(sum(compared), 0), coalesce(sum(mismatches), 0), coalesce(sum(missing), 0), coalesce(sum(extra), 0) "
        f"from {MART_PARITY} where run_id = (select run_id from {MART_PARITY} "
        f"where checked_at >= to_timestamp(%s) order by checked_at desc limit 1)",
        (since_ms / 1000,),
    )
    names = ("features_compared", "feature_mismatches", "missing", "extra")
    return {name: int(value) for name, value in zip(names, rows[0], strict=True)}


def accuracy(settings: Settings, run_id: str) -> dict[str, float]:
    """WAPE of each candidate in a training run, pooled over its origins by their rows."""
    rows = _query(
        settings,
        f"select candidate, sum(wape * rows) / sum(rows) from {MART_ACCURACY} where run_id = %s group by candidate",
        (run_id,),
    )
    return {str(candidate): round(float(wape), 4) for candidate, wape in rows}


def _query(settings: Settings, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    import psycopg2

    connection = psycopg2.connect(settings.postgres_url(POSTGRES_DATABASE))
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return list(cursor.fetchall())
    finally:
        connection.close()


def _source(settings: Settings) -> Any:
    return lambda topic: topic.name(settings.topic_prefix)


def _dead(settings: Settings) -> Any:
    return lambda topic: topic.dead_letters(settings.topic_prefix)
