"""Whatever stands on a topic becomes rows of silver or one refusal with its reason and its bytes; nothing ends the job."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.events import ForecastDay, ForecastServed, encode
from contracts.topics import FORECASTS, INVENTORY, PRICES, SALES, partition_of
from lake.decode import RAW, REFUSED, Rule, decode
from tests.builders import NOON, line, price, receipt, stock

RULE = Rule(topic_prefix="", partitions=4, max_lead_ms=3_600_000)
DAYS = (ForecastDay(dt.date(2025, 6, 16), 4.5, {"0.5": 4.0, "0.9": 7.0}),)
SOUND = {
    SALES.kind: receipt("r-1", NOON, line(promotion_id="x", list_price=300), line("p-2", -1, sale_id="r-0", category_id="c")),
    INVENTORY.kind: stock(),
    PRICES.kind: price(store_id="s-1", valid_to=dt.date(2025, 7, 1), promotion_id="x"),
    FORECASTS.kind: ForecastServed("f-1", NOON, "s-1", "p-1", NOON, "xgboost", "7", None, 1.5, DAYS),
}
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def broken(draw: st.DrawFn, kind: str) -> bytes:
    """A sound event of a topic with something else in the place of one or two of its values, or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    document = json.loads(encode(SOUND[kind]))
    for _ in range(draw(st.integers(1, 2))):
        place: Any = document
        while True:
            names = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not names:
                break
            name = draw(st.sampled_from(names))
            if isinstance(place[name], dict | list) and place[name] and draw(st.booleans()):
                place = place[name]
                continue
            place[name] = draw(ANYTHING)
            break
    return json.dumps(document, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


MESSAGE = st.sampled_from(sorted(SOUND)).flatmap(lambda kind: st.tuples(st.just(kind), broken(kind)))


@given(st.lists(MESSAGE, min_size=1, max_size=3))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])  # the first text takes seconds on a busy machine
def test_every_message_is_rows_of_its_topic_or_one_refusal(sent: list[tuple[str, bytes]]) -> None:
    messages = []
    for offset, (kind, value) in enumerate(sent):
        key = "p-1" if kind == PRICES.kind else "s-1"
        place = {"topic": kind, "partition": partition_of(key, RULE.partitions), "offset": offset, "kafka_time_ms": NOON}
        messages.append({**place, "key": key.encode(), "value": value})
    batch = pa.RecordBatch.from_pylist(messages, schema=RAW)
    found = [row for part in decode([batch], RULE) for row in part.to_pylist()]

    for message in messages:
        rows = [row for row in found if (row["topic"], row["offset"]) == (message["topic"], message["offset"])]
        types = {row["type"] for row in rows}
        if types == {REFUSED}:
            assert [bool(row["reason"] and row["detail"]) for row in rows] == [True]
            assert (rows[0]["raw"], rows[0]["key"]) == (message["value"], message["key"])
        else:
            assert types == {message["topic"]}
            assert [row["lines"] for row in rows] == [len(rows)] * len(rows)
