"""Bronze and Kafka's offsets where they are not one after another: transactions, what retention took, a topic made anew.

Each test has topics of its own on the real Kafka; all share one lake.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as sf

from contracts import tables as names
from contracts.clock import system_clock
from contracts.errors import DataGateError, DependencyUnavailable
from contracts.events import Receipt, ReceiptLine, encode
from contracts.settings import Settings
from contracts.topics import PRICES, SALES, Topic
from lake import bronze as bronze_core
from lake import repeats, schemas, silver_audit
from lake.audit import Audit, PartitionAudit
from lake.jobs import audit, bronze, silver
from streams.declare import declare
from tests.own_lake import own_lake
from tests.stream_worker import opened, rows, worker
from tests.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

STORE, PRODUCT = "s-offsets", "p-offsets"


@pytest.fixture(scope="module")
def session(settings: Settings) -> Iterator[SparkSession]:
    with own_lake(settings, uuid.uuid4().hex[:8]) as own:
        yield own


@pytest.fixture
def apart(settings: Settings, tmp_path: Path) -> Settings:
    """Topics of one partition each, and a folder of their own for the checkpoint."""
    home = tmp_path / "home"
    home.mkdir()
    prefix = f"offsets-{uuid.uuid4().hex[:8]}."
    own = settings.model_copy(update={"home": home, "topic_prefix": prefix, "topic_partitions": 1})
    declare(own)
    return own


def lines(count: int) -> tuple[ReceiptLine, ...]:
    """As many lines of one unit each."""
    return tuple(ReceiptLine(PRODUCT, 1, 100 + number, 100 + number) for number in range(count))


def receipts(count: int, tag: str, sold: tuple[ReceiptLine, ...] = lines(1)) -> list[bytes]:
    """Receipts of these lines each, sold now."""
    now = system_clock()
    return [encode(Receipt(f"r-{tag}-{number}", now, STORE, "pos", sold)) for number in range(count)]


def send(settings: Settings, values: Sequence[bytes], topic: Topic = SALES) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka})
    for value in values:
        producer.produce(topic.name(settings.topic_prefix), key=STORE, value=value)
    assert producer.flush(30) == 0


def send_in_transactions(settings: Settings, transactions: Sequence[tuple[Sequence[bytes], bool]]) -> None:
    """Sends the values of each transaction and commits it, or aborts it where it says so."""
    name = f"{settings.topic_prefix}writer"
    producer = Producer({"bootstrap.servers": settings.kafka, "transactional.id": name})
    producer.init_transactions(30)
    for values, committed in transactions:
        producer.begin_transaction()
        for value in values:
            producer.produce(SALES.name(settings.topic_prefix), key=STORE, value=value)
        assert producer.flush(30) == 0  # an abort would take back what is still in the client's queue
        if committed:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)


def drop_before(settings: Settings, offset: int) -> None:
    """What retention does: Kafka forgets all before an offset."""
    place = TopicPartition(SALES.name(settings.topic_prefix), 0, offset)
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    admin.delete_records([place])[place].result(30)


def sales_of(found: Audit, settings: Settings) -> PartitionAudit:
    (part,) = [part for part in found.partitions if part.topic == SALES.name(settings.topic_prefix)]
    return part


def bronze_rows(session: SparkSession, settings: Settings) -> int:
    return session.table(names.BRONZE_EVENTS).where(sf.col("topic") == SALES.name(settings.topic_prefix)).count()


def test_offsets_of_transaction_markers_are_void_and_aborted_messages_count_as_in_the_stream(
    session: SparkSession, settings: Settings, apart: Settings, tmp_path: Path
) -> None:
    send_in_transactions(apart, [(receipts(3, "kept"), True), (receipts(2, "aborted"), False), (receipts(1, "last"), True)])
    report = bronze.run(session, apart)
    found = audit.run(session, apart)
    part = sales_of(found, apart)

    assert found.faults == []
    assert (part.messages, part.void, part.missing, part.waiting) == (6, 3, 0, 0)  # each transaction ends with a marker
    assert report.rows_out == 6

    send(apart, receipts(2, "after"))
    assert bronze.run(session, apart).rows_out == 2
    found = audit.run(session, apart)
    assert found.faults == []
    assert (sales_of(found, apart).messages, sales_of(found, apart).void) == (8, 3)

    of_worker = apart.model_copy(update={"home": settings.home})
    with worker(of_worker, tmp_path / "worker.log", RD360_TOPIC_PARTITIONS="1") as process, opened(of_worker) as online:
        process.ready()
        until(lambda: (row := rows(online, "sales_rolling", (STORE, PRODUCT))[0]) and row["units_24h"] == 8, "8 units")


def test_a_message_that_bronze_lacks_beside_a_marker_is_still_missing(session: SparkSession, apart: Settings) -> None:
    send_in_transactions(apart, [(receipts(3, "one"), True), (receipts(2, "two"), True)])  # offsets 0 1 2, marker, 4 5, marker
    bronze.run(session, apart)
    topic = SALES.name(apart.topic_prefix)
    session.sql(f"DELETE FROM {names.BRONZE_EVENTS} WHERE topic = '{topic}' AND `offset` IN (2, 4)")
    part = sales_of(audit.run(session, apart), apart)

    assert (part.missing_ranges, part.void) == ([(2, 2), (4, 4)], 2)
    assert part.faults == [f"{topic}/0: offsets 2 to 2 are missing", f"{topic}/0: offsets 4 to 4 are missing"]


def test_what_retention_took_is_refused_by_its_offsets_then_accepted_and_written_down(
    session: SparkSession, apart: Settings
) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(5, "read"))
    bronze.run(session, apart)
    send(apart, receipts(5, "unread"))
    drop_before(apart, 8)

    with pytest.raises(DataGateError, match=f"{topic}/0 offsets 5 to 7"):
        bronze.run(session, apart)
    unaccepted = sales_of(audit.run(session, apart), apart)
    report = bronze.run(session, apart, accept_loss=True)
    found = audit.run(session, apart)
    noted = session.table(names.BRONZE_LOSSES).where(sf.col("topic") == topic).collect()

    assert unaccepted.faults == [f"{topic}/0: offsets 5 to 7 are missing"]
    assert (report.rows_out, report.detail["lost"]) == (2, [{"topic": topic, "partition": 0, "first": 5, "last": 7}])
    assert [(row["partition"], row["first"], row["last"]) for row in noted] == [(0, 5, 7)]
    assert found.faults == []
    assert (sales_of(found, apart).messages, sales_of(found, apart).accepted_loss) == (7, 3)


def test_a_loss_up_to_kafkas_end_is_written_down_once_and_reading_goes_on_after_it(
    session: SparkSession, apart: Settings
) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(2, "read"))
    bronze.run(session, apart)
    send(apart, receipts(3, "unread"))
    drop_before(apart, 5)
    reports = [bronze.run(session, apart, accept_loss=True) for _ in range(2)]
    send(apart, receipts(1, "after"))
    reports.append(bronze.run(session, apart))

    assert [(report.rows_out, len(report.detail["lost"])) for report in reports] == [(0, 1), (0, 0), (1, 0)]
    assert session.table(names.BRONZE_LOSSES).where(sf.col("topic") == topic).count() == 1
    assert audit.run(session, apart).faults == []


def test_what_retention_took_of_a_partition_without_a_row_is_refused_too(session: SparkSession, apart: Settings) -> None:
    topic = SALES.name(apart.topic_prefix)
    bronze.run(session, apart)  # meets the topic, which is empty yet
    send(apart, receipts(5, "unread"))
    drop_before(apart, 3)

    with pytest.raises(DataGateError, match=f"{topic}/0 offsets 0 to 2"):
        bronze.run(session, apart)
    assert sales_of(audit.run(session, apart), apart).faults == [f"{topic}/0: offsets 0 to 2 are missing"]
    reports = [bronze.run(session, apart, accept_loss=True) for _ in range(2)]
    assert [(report.rows_out, len(report.detail["lost"])) for report in reports] == [(2, 1), (0, 0)]
    assert audit.run(session, apart).faults == []


def test_what_was_gone_before_bronze_met_the_topic_is_noted_and_no_loss(session: SparkSession, apart: Settings) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(5, "early"))
    drop_before(apart, 5)
    reports = [bronze.run(session, apart) for _ in range(2)]
    send(apart, receipts(1, "after"))
    reports.append(bronze.run(session, apart))

    assert [report.rows_out for report in reports] == [0, 0, 1]
    assert [report.detail["dropped_before_we_met"] for report in reports] == [
        [{"topic": topic, "partition": 0, "first": 0, "last": 4}],
        [],
        [],
    ]
    assert audit.run(session, apart).faults == []


def test_what_retention_took_is_refused_again_and_again_where_the_note_of_the_topic_was_removed(
    session: SparkSession, apart: Settings
) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(5, "read"))
    bronze.run(session, apart)
    session.sql(f"DELETE FROM {names.BRONZE_TOPICS} WHERE topic = '{topic}'")  # as is advised for a restored cluster
    send(apart, receipts(5, "unread"))
    drop_before(apart, 8)

    for _ in range(2):
        with pytest.raises(DataGateError, match=f"{topic}/0 offsets 5 to 7"):
            bronze.run(session, apart)
    assert sales_of(audit.run(session, apart), apart).faults == [f"{topic}/0: offsets 5 to 7 are missing"]


def test_a_line_lost_at_one_offset_and_one_doubled_at_another_are_both_named(session: SparkSession, apart: Settings) -> None:
    topic, table = SALES.name(apart.topic_prefix), names.SILVER_SALES
    two, three = (lines(n) for n in (2, 3))
    send(apart, [*receipts(2, "before", two), *receipts(1, "mixed", three), *receipts(2, "after", two)])
    bronze.run(session, apart)
    silver.run(session, apart)
    assert audit.run(session, apart).faults == []

    def row(offset: int, number: int) -> str:
        return f"topic = '{topic}' AND `offset` = {offset} AND line_number = {number}"

    doubled = session.sql(f"SELECT * FROM {table} WHERE {row(0, 1)} OR {row(2, 0)}").localCheckpoint()
    session.sql(f"DELETE FROM {table} WHERE ({row(4, 1)}) OR ({row(2, 2)})")
    doubled.writeTo(table).append()
    found = audit.run(session, apart)
    (part,) = [part for part in found.silver.partitions if part.topic == topic]

    assert (part.messages_in, part.messages_out) == (5, 5)
    assert part.lines_in == part.silver_lines == 11  # the totals agree, of the message at offset 2 too
    assert [place.offset for place in part.places] == [0, 2, 4]
    assert found.faults == [
        f"{topic}/0: silver is not bronze at 3 offsets: 0 (2 lines in, 3 out, 1 of them again), "
        "2 (3 lines in, 3 out, 1 of them again), 4 (2 lines in, 1 out)"
    ]
    remake_silver(session, topic)
    silver.run(session, apart)
    assert audit.run(session, apart).faults == []


def test_a_line_in_the_place_of_another_is_seen_in_receipts_of_any_length(session: SparkSession) -> None:
    whole = {0: range(2), 1: range(200), 2: range(2), 3: range(200), 4: range(200)}
    there = whole | {2: [0, 0], 3: [*range(199), 150], 4: [*range(199), 3]}
    columns = "topic string, partition int, offset bigint, fate string, item int, lines int"
    given = session.createDataFrame([("t", 0, offset, "given", None, len(items)) for offset, items in whole.items()], columns)
    rows = [("t", 0, offset, "accepted", item, 1) for offset, items in there.items() for item in items]
    found = silver_audit.places(given, session.createDataFrame(rows, columns)).where("differs").orderBy("offset").collect()

    assert [(row["offset"], row["lines_in"], row["silver_lines"], row["repeated_lines"]) for row in found] == [
        (2, 2, 2, 1),
        (3, 200, 200, 1),
        (4, 200, 200, 1),
    ]


@pytest.mark.parametrize("later", ["1 SECOND", "0 SECONDS"])
def test_silver_names_the_offsets_that_bronze_has_twice_and_goes_on_once_one_row_of_each_is_left(
    session: SparkSession, apart: Settings, later: str
) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(4, "twice"))
    bronze.run(session, apart)
    again = of_topic(session, topic).where("`offset` IN (1, 3)")
    copies = again.withColumn("ingest_time", sf.expr(f"ingest_time + INTERVAL {later}")).localCheckpoint()
    copies.unionAll(copies).coalesce(1).writeTo(names.BRONZE_EVENTS).append()  # two of one batch, beside the first

    with pytest.raises(DataGateError, match=rf"{topic}/0 offset 1 \(3 times, ingested .*, 3 \(3 times, ingested ") as refused:
        silver.run(session, apart)
    found = audit.run(session, apart)
    assert found.leave_one is not None
    assert found.leave_one in refused.value.hint
    places = [(copy.file, copy.position) for copy in sales_of(found, apart).repeated_offsets[0].copies]
    assert len(set(places)) == 3

    first = of_topic(session, topic).groupBy("offset").agg(sf.min("ingest_time").alias("ingest_time")).orderBy("offset").collect()
    session.sql(found.leave_one)
    assert of_topic(session, topic).select("offset", "ingest_time").orderBy("offset").collect() == first
    assert len(first) == 4
    assert silver.run(session, apart).rows_out == 4
    assert audit.run(session, apart).faults == []


def test_rows_of_one_offset_that_are_not_the_same_message_all_stay_and_are_refused(
    session: SparkSession, apart: Settings
) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(2, "other"))
    bronze.run(session, apart)
    (value,) = receipts(1, "another")
    other = of_topic(session, topic).where("`offset` = 1").withColumn("value", sf.lit(bytearray(value)))
    other.localCheckpoint().writeTo(names.BRONZE_EVENTS).append()
    session.sql(repeats.leave_one([topic]))

    assert bronze_rows(session, apart) == 3
    with pytest.raises(DataGateError, match=rf"{topic}/0 offset 1 \(2 times"):
        silver.run(session, apart)
    session.sql(f"DELETE FROM {names.BRONZE_EVENTS} WHERE topic = '{topic}'")  # a lake with it would refuse every other test


def of_topic(session: SparkSession, topic: str) -> DataFrame:
    return session.table(names.BRONZE_EVENTS).where(sf.col("topic") == topic)


def remake_silver(session: SparkSession, topic: str) -> None:
    """Takes a topic's progress away, so that silver removes what it has of it and makes it again."""
    session.sql(f"DELETE FROM {schemas.SILVER_PROGRESS} WHERE topic = '{topic}'")


def test_a_query_that_should_go_on_is_refused_where_there_is_no_topic_yet(session: SparkSession, settings: Settings) -> None:
    nowhere = settings.model_copy(update={"topic_prefix": f"nowhere-{uuid.uuid4().hex[:8]}."})

    with pytest.raises(DependencyUnavailable, match=f"none of the topics .*{nowhere.topic_prefix}sales"):
        bronze.run(session, nowhere, available_now=False)
    assert bronze.run(session, nowhere).rows_out == 0


def test_a_query_that_goes_on_takes_in_a_topic_that_is_made_meanwhile(
    session: SparkSession, apart: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bronze, "LOOK_SECONDS", 1.0)
    own = apart.model_copy(update={"topic_prefix": f"later-{apart.topic_prefix}"})
    admin = AdminClient({"bootstrap.servers": own.kafka})

    def made(topic: Topic) -> None:
        admin.create_topics([NewTopic(topic.name(own.topic_prefix), 1, 1)])[topic.name(own.topic_prefix)].result(30)

    def read(**wanted: int) -> None:
        """Waits for the query's own word that it has committed so many messages of each topic."""
        places = {(f"{own.topic_prefix}{kind}", 0): end for kind, end in wanted.items()}
        until(lambda: (bronze_core.checkpoint_end(bronze_core.checkpoint_folder(own)) or {}) == places, str(wanted), 400)

    def others() -> None:
        try:
            read(sales=2)
            made(PRICES)
            send(own, [b"one"], PRICES)
            send(own, [b"more"])
            read(sales=3, prices=1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    made(SALES)
    send(own, receipts(2, "first"))
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(others)
        report = bronze.run(session, own, available_now=False)
        told.result()

    assert (report.rows_out, len(report.detail["topics"])) == (4, 2)
    assert audit.run(session, own).faults == []
    assert bronze.run(session, own).rows_out == 0


def test_a_topic_made_anew_is_refused_and_never_mixed(session: SparkSession, apart: Settings) -> None:
    topic = SALES.name(apart.topic_prefix)
    send(apart, receipts(4, "old"))
    bronze.run(session, apart)
    admin = AdminClient({"bootstrap.servers": apart.kafka})
    admin.delete_topics([topic])[topic].result(30)
    until(lambda: topic not in admin.list_topics(timeout=10).topics, "the topic is gone", 30)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    send(apart, receipts(2, "new"))
    assert any("another topic now" in fault for fault in audit.run(session, apart).faults)
    send(apart, receipts(4, "longer than the old one"))

    for accept_loss in (False, True):
        with pytest.raises(DataGateError, match=f"{topic} has id .* deleted and made anew"):
            bronze.run(session, apart, accept_loss=accept_loss)
    assert bronze_rows(session, apart) == 4
