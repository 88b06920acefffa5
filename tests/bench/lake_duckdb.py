"""What the lake's jobs do to receipts, as DuckDB does it: the same tables by plain SQL, from the same files to Parquet files.

Days are those of UTC, as the bench's stores have them. A message is taken where it is JSON; what else the contract asks is not
asked here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from contracts.aggregates import SALES_VALUES
from contracts.features import CATEGORY_ROLLING, ENTITY_KEYS, SALES_ROLLING, STORE_ROLLING, Feature, View, features_of
from lake.rolling import SAME_HOURS, edge_names

STEPS = ("silver", "gold", "features")
_LINE = (
    '{"product_id":"VARCHAR","quantity":"BIGINT","unit_price":"BIGINT","list_price":"BIGINT","promotion_id":"VARCHAR",'
    '"category_id":"VARCHAR"}'
)
_RECEIPT = (
    '{"event_id":"VARCHAR","event_time":"BIGINT","store_id":"VARCHAR","channel":"VARCHAR","schema_version":"INTEGER","lines":['
    + _LINE
    + "]}"
)
_SILVER = f"""
WITH parsed AS (
    SELECT topic, partition, "offset", from_json(decode(value), '{_RECEIPT}') AS receipt
    FROM 'RAW/*.parquet' WHERE json_valid(decode(value))
), once AS (
    SELECT * FROM parsed
    QUALIFY row_number() OVER (PARTITION BY receipt.store_id, receipt.event_id ORDER BY partition, "offset") = 1
)
SELECT receipt.event_id, receipt.event_time AS event_time_ms, receipt.store_id, line.product_id, line.quantity, line.unit_price,
    line.list_price, line.promotion_id, line.category_id, receipt.channel, receipt.schema_version,
    epoch_ms(receipt.event_time)::DATE AS local_day, topic, partition, "offset"
FROM once, unnest(receipt.lines) AS lines(line) WHERE line.quantity <> 0
"""
_SUMS = """
    sum(CASE WHEN quantity > 0 THEN quantity ELSE 0 END)::BIGINT AS units,
    sum(CASE WHEN quantity > 0 THEN 0 ELSE -quantity END)::BIGINT AS returned_units,
    sum(CASE WHEN quantity > 0 THEN quantity * unit_price ELSE 0 END)::BIGINT AS sales_cents,
    sum(CASE WHEN quantity > 0 THEN 0 ELSE -quantity * unit_price END)::BIGINT AS refund_cents,
    max(CASE WHEN quantity > 0 THEN 1 ELSE 0 END)::BIGINT AS receipts,
    sum(CASE WHEN quantity > 0 AND promotion_id IS NOT NULL THEN quantity ELSE 0 END)::BIGINT AS promotion_units
"""
_FOUR_WEEKS = "RANGE BETWEEN INTERVAL 28 DAY PRECEDING AND INTERVAL 1 DAY PRECEDING"
_GOLD = f"""
WITH receipts AS (
    SELECT store_id, product_id, local_day, event_id, {_SUMS} FROM silver GROUP BY ALL
), sold AS (
    SELECT store_id, product_id, local_day, {", ".join(f"sum({name})::BIGINT AS {name}" for name in SALES_VALUES)}
    FROM receipts GROUP BY ALL
), first AS (
    SELECT store_id, product_id, min(local_day) AS begins FROM silver GROUP BY ALL
), last AS (
    SELECT store_id, max(local_day) AS ends FROM silver GROUP BY ALL
), days AS (
    SELECT store_id, product_id, unnest(generate_series(begins, ends, INTERVAL 1 DAY))::DATE AS local_day
    FROM first JOIN last USING (store_id)
), complete AS (
    SELECT store_id, product_id, local_day, {", ".join(f"coalesce({name}, 0) AS {name}" for name in SALES_VALUES)}
    FROM days LEFT JOIN sold USING (store_id, product_id, local_day)
)
SELECT *, units + 0.0 * coalesce(level, 0) AS demand FROM (
    SELECT *, (coalesce(sum(units) OVER same, 0) + 4 * avg(units) OVER series) / (count(units) OVER same + 4) AS level
    FROM complete
    WINDOW series AS (PARTITION BY store_id, product_id ORDER BY local_day {_FOUR_WEEKS}),
        same AS (PARTITION BY store_id, product_id, dayofweek(local_day) ORDER BY local_day {_FOUR_WEEKS})
)
"""
_DAYS_BACK = {"demand_lag_1d": 1, "demand_lag_7d": 7, "demand_lag_14d": 14}


def run(raw: Path, out: Path, memory_gb: int, parts: int) -> Iterator[str]:
    """Makes silver, gold and features of raw receipts in a folder; the name of each step as it has ended.

    Features are made of so many parts of the stores, one after the other: what as-of joins keep of 50 million lines at once
    is more than 70 GB.
    """
    out.mkdir(parents=True)
    with duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{memory_gb}GB'")
        connection.execute(f"SET temp_directory = '{out}/tmp'")
        connection.execute("SET preserve_insertion_order = false")
        _write(connection, out, "silver", _SILVER.replace("RAW", str(raw)))
        yield "silver"
        _write(connection, out, "daily", _GOLD.replace("FROM silver", f"FROM {files(out, 'silver')}"))
        yield "gold"
        latest = connection.execute(f"SELECT max(event_time_ms) FROM {files(out, 'silver')}").fetchall()[0][0]
        numbered = f"SELECT store_id, row_number() OVER (ORDER BY store_id) % {parts} AS part"
        connection.execute(f"CREATE TABLE parts AS {numbered} FROM (SELECT DISTINCT store_id FROM {files(out, 'silver')})")
        for part in range(parts):
            of_part = f"WHERE store_id IN (SELECT store_id FROM parts WHERE part = {part})"
            for name in ("silver", "daily"):
                connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM {files(out, name)} {of_part}")
            connection.execute(f"CREATE OR REPLACE VIEW questions AS {_questions(latest or 0)}")
            for view in (SALES_ROLLING, STORE_ROLLING, CATEGORY_ROLLING):
                _write(connection, out, view.name, rolling(view), part)
            _write(connection, out, "demand_daily", _daily(), part)
        yield "features"


def files(out: Path, name: str) -> str:
    """The rows of one table that was made, for a FROM."""
    return f"'{out}/{name}/*.parquet'"


def _write(connection: duckdb.DuckDBPyConnection, out: Path, name: str, query: str, part: int = 0) -> None:
    (out / name).mkdir(exist_ok=True)
    connection.execute(f"COPY ({query}) TO '{out}/{name}/{part}.parquet' (COMPRESSION zstd)")


def _questions(latest_ms: int) -> str:
    """The snapshot grid: each day on sale at 00, 10, 14 and 18 o'clock."""
    at = "epoch_ms(local_day::TIMESTAMP) + hour * 3600000"
    grid = f"SELECT store_id, product_id, {at} AS as_of_ms FROM daily, unnest([0, 10, 14, 18]) AS hours(hour)"
    return f"{grid} WHERE {at} <= {latest_ms}"


def rolling(view: View) -> str:
    """A rolling view over all questions: running totals over the events, looked up at each window's edge by an as-of join."""
    features, keys = features_of(view.name), [ENTITY_KEYS[entity] for entity in view.entities]
    by = ", ".join(keys)
    last = view is SALES_ROLLING
    each = f"{by}, event_id, event_time_ms" if last else f"{by}, event_time_ms"
    a_sale = "CASE WHEN units > 0 THEN {'at_ms': event_time_ms, 'id': event_id, 'price': price} END"
    sale = f"max({a_sale}) OVER up_to AS last" if last else "NULL AS last"
    price = ", max(CASE WHEN quantity > 0 THEN unit_price END) AS price" if last else ""
    asked = f"SELECT DISTINCT {by}, as_of_ms FROM questions"
    if view is CATEGORY_ROLLING:
        asked = (
            "SELECT store_id, category_id, as_of_ms FROM (SELECT DISTINCT store_id, as_of_ms FROM questions)"
            " JOIN (SELECT store_id, category_id, min(event_time_ms) AS first_ms FROM silver GROUP BY ALL) USING (store_id)"
            " WHERE first_ms <= as_of_ms"
        )
    probes = [("head", "as_of_ms"), *((name, f"{start} - 1") for name, start in _starts(edge_names(features)))]
    totals = ", ".join(f"sum({name}) OVER up_to::BIGINT AS {name}" for name in SALES_VALUES)
    seen = ", ".join(f'coalesce("{probe}".{name}, 0) AS "{probe}_{name}"' for probe, _ in probes for name in SALES_VALUES)
    same_keys = {probe: " AND ".join(f'asked.{key} = "{probe}".{key}' for key in keys) for probe, _ in probes}
    lookups = " ".join(
        f'ASOF LEFT JOIN totals "{probe}" ON {same_keys[probe]} AND {at} >= "{probe}".at_ms' for probe, at in probes
    )
    return f"""
WITH events AS (SELECT {each}, {_SUMS}{price} FROM silver GROUP BY {each}),
totals AS MATERIALIZED (
    SELECT DISTINCT {by}, event_time_ms AS at_ms, {totals}, {sale} FROM events
    WINDOW up_to AS (PARTITION BY {by} ORDER BY event_time_ms RANGE UNBOUNDED PRECEDING)
), asked AS ({asked}),
answers AS (
    SELECT {", ".join(f"asked.{key}" for key in keys)}, asked.as_of_ms, {seen}, head.last AS last FROM asked {lookups}
)
SELECT {by}, as_of_ms, {", ".join(f"{_finished(feature)} AS {feature.name}" for feature in features)} FROM answers
"""


def _starts(edges: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The first instant of each window as of `as_of_ms`, on days of UTC."""
    hour, day = 3_600_000, 86_400_000
    windows = {
        "1h": "as_of_ms // 300000 * 300000 - 3600000",
        "24h": f"(as_of_ms // {hour} - 24) * {hour}",
        **{name: f"(as_of_ms // {day} - {days}) * {day}" for name, days in (("today", 0), ("7d", 7), ("28d", 28))},
    }
    for weeks, (start, end) in enumerate(SAME_HOURS, start=1):
        windows |= {start: f"(as_of_ms - {7 * weeks * day}) // {hour} * {hour}"}
        windows |= {end: f"{windows[start]} + {hour}"}
    return ((name, windows[name]) for name in edges)


def _finished(feature: Feature) -> str:
    if feature.aggregate == "last":
        return {"unit_price": "last.price", "event_time": "last.at_ms"}[feature.value]
    if feature.aggregate == "same_hour":
        return " + ".join(f'"{end}_{feature.value}" - "{start}_{feature.value}"' for start, end in SAME_HOURS)
    totals = [f'("head_{name}" - "{feature.window}_{name}")' for name in feature.value.split("/")]
    return totals[0] if len(totals) == 1 else f"CASE WHEN {totals[1]} <> 0 THEN {totals[0]}::DOUBLE / {totals[1]} END"


def _daily() -> str:
    def over(column: str, days: int, until: int = 1) -> str:
        span = f"RANGE BETWEEN INTERVAL {days} DAY PRECEDING AND INTERVAL {until} DAY PRECEDING"
        return f"{column} OVER (PARTITION BY store_id, product_id ORDER BY local_day {span})"

    weekdays = ", ".join(over(f"avg(CASE WHEN isodow(local_day) = {day} THEN demand END)", 28) for day in range(1, 8))
    columns = {
        **{name: over("max(demand)", days, days) for name, days in _DAYS_BACK.items()},
        **{f"demand_mean_{days}d": over("avg(demand)", days) for days in (7, 28, 364)},
        "weekday_mean_4w": f"[{weekdays}]",
        "selling_share_28d": over("avg((units > 0)::INTEGER)", 28),
        "days_on_sale": over("count(demand)", 364),
    }
    return f"SELECT store_id, product_id, local_day, {', '.join(f'{sql} AS {name}' for name, sql in columns.items())} FROM daily"
