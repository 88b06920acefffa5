"""Raw receipts for the lake's bench, as Parquet files which Spark and DuckDB read: made by DuckDB, the same for the same size.

Five thousand lines a year of each store × product: a busy chain. 2 % of the receipts are sent twice, one in a thousand is cut
off, one line in fifty is a return.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb

from contracts.topics import partition_of

LINES_A_RECEIPT = 10
LINES_A_STORE = 1_000_000
PRODUCTS, CATEGORIES, DAYS = 200, 20, 365
FIRST_MS = 1_672_531_200_000  # 2023-01-01
FILES = 8


@dataclass(frozen=True, slots=True)
class Sent:
    """What the files hold: messages, and the lines of those that keep the contract, repeats included."""

    messages: int
    lines: int


def write(folder: Path, lines: int, topic: str, partitions: int) -> Sent:
    """Writes about so many lines to Parquet files with bronze's columns `topic` to `value`, time in ms."""
    folder.mkdir(parents=True)
    stores = max(1, lines // LINES_A_STORE)
    receipts = lines // LINES_A_RECEIPT
    with duckdb.connect() as connection:
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("CREATE TABLE stores (store_id VARCHAR, partition INTEGER)")
        names = [f"s-{number:04d}" for number in range(stores)]
        connection.executemany("INSERT INTO stores VALUES (?, ?)", [(name, partition_of(name, partitions)) for name in names])
        step_ms = DAYS * 86_400_000 // receipts
        connection.execute(_MESSAGES.format(receipts=receipts, stores=stores, step_ms=step_ms, topic=topic))
        for number in range(FILES):
            part = f'SELECT * FROM messages WHERE number * {FILES} // {receipts} = {number} ORDER BY partition, "offset"'
            columns = 'topic, partition, "offset", kafka_time_ms, key, value'
            connection.execute(f"COPY (SELECT {columns} FROM ({part})) TO '{folder}/{number}.parquet' (COMPRESSION zstd)")
        found = connection.execute("SELECT count(*), sum(lines) FILTER (NOT cut) FROM messages").fetchone()
    return Sent(*(int(value) for value in found or (0, 0)))


# hash() gives the same number for the same input, so that every machine makes the same receipts
_NUMBER = f"hash(number, j, 'p') % {PRODUCTS}"
_LINE = f"""
'{{{{"product_id":"p-' || {_NUMBER}
    || '","quantity":' || CASE WHEN hash(number, j, 'r') % 50 = 0 THEN -1 ELSE 1 + hash(number, j, 'q') % 3 END
    || ',"unit_price":' || (100 + {_NUMBER}) || ',"list_price":' || (150 + {_NUMBER})
    || ',"promotion_id":' || CASE WHEN hash(number, j, 'm') % 8 = 0 THEN '"spring"' ELSE 'null' END
    || ',"category_id":"c-' || {_NUMBER} % {CATEGORIES} || '"}}}}'
"""
_MESSAGES = f"""
CREATE TABLE messages AS
WITH receipts AS (
    SELECT number, {FIRST_MS} + number * {{step_ms}} AS event_time, 1 + hash(number, 'l') % {2 * LINES_A_RECEIPT - 1} AS lines,
        printf('s-%04d', (hash(number, 's') % {{stores}})::INTEGER) AS store_id, hash(number, 'c') % 1000 = 0 AS cut
    FROM range({{receipts}}) AS made(number)
), texts AS (
    SELECT *, '{{{{"event_id":"r-' || number || '","event_time":' || event_time || ',"store_id":"' || store_id
        || '","channel":"pos","lines":['
        || list_aggregate(list_transform(range(lines::BIGINT), lambda j: {_LINE}), 'string_agg', ',')
        || '],"schema_version":2}}}}' AS text
    FROM receipts
), sent AS (
    SELECT *, 0 AS again FROM texts UNION ALL SELECT *, 1 FROM texts WHERE hash(number, 'd') % 50 = 0
)
SELECT number, lines, cut, '{{topic}}' AS topic, partition, event_time + 1000 AS kafka_time_ms, encode(store_id) AS key,
    row_number() OVER (PARTITION BY partition ORDER BY number, again) - 1 AS "offset",
    encode(CASE WHEN cut THEN text[:40] ELSE text END) AS value
FROM sent JOIN stores USING (store_id)
"""
