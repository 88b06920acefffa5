"""Windows over many series at once are what a look at every event finds, whatever the order and however many series there are."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest

from contracts.features import CATEGORY_ROLLING, SALES_ROLLING, features_of
from lake import rolling
from tests.oracles.features import Line, sales_rolling, same_hours, window_starts

NOW, DAY_MS, ZONE = 1_711_846_800_000, 86_400_000, "Europe/London"  # on the day on which the clocks go forward
KEYS = ("store_id", "product_id")
FEATURES = features_of(SALES_ROLLING.name)
LINE = {"at_ms": pa.int64(), "event_id": pa.string(), "quantity": pa.int64(), "unit_price": pa.int64(), "promoted": pa.bool_()}
QUESTION = {"as_of_ms": pa.int64(), "head_ms": pa.int64(), "edges": pa.list_(pa.int64())}
SCHEMA = pa.schema({**dict.fromkeys(KEYS, pa.string()), **LINE, **QUESTION})


def lines(rng: random.Random) -> list[tuple[str, Line]]:
    """Lines of two stores: many at the same instant, of the same receipt, on the edge of a window."""
    found = []
    for number in range(400):
        at = NOW - rng.choice((0, 300_000, 3_600_000, DAY_MS)) * rng.randrange(30) + rng.choice((-1, 0, 0, 1))
        quantity, price = rng.choice((1, 2, 5, -1)), rng.randrange(1, 99)
        line = Line(f"r-{rng.randrange(150)}", at, f"p-{rng.randrange(3)}", quantity, price, number % 3 == 0)
        found.append((rng.choice(("s-1", "s-2")), line))
    return [one for one in found if one[1].at == first_time(found, one)]


def first_time(found: list[tuple[str, Line]], one: tuple[str, Line]) -> int:
    """All lines of a receipt have its time: that of the first line of its number in its store."""
    return next(line.at for store, line in found if (store, line.event_id) == (one[0], one[1].event_id))


def question(store: str, product: str, at: int) -> dict[str, Any]:
    starts = window_starts(at, ZONE)
    for start, (opens, closes) in zip(same_hours(at, ZONE), rolling.SAME_HOURS, strict=True):
        starts |= {opens: start, closes: start + 3_600_000}
    edges = [starts[name] for name in rolling.edge_names(FEATURES)]
    return {"store_id": store, "product_id": product, "as_of_ms": at, "head_ms": at, "edges": edges}


def answers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    return [row for batch in rolling.answer(table.to_batches(max_chunksize=97), KEYS, FEATURES) for row in batch.to_pylist()]


@pytest.mark.parametrize("seed", range(5))
def test_every_feature_of_every_question_is_what_a_look_at_every_line_finds(seed: int) -> None:
    rng = random.Random(seed)
    happened = lines(rng)
    events = [
        {
            "store_id": store,
            "product_id": line.product,
            "at_ms": line.at,
            "event_id": line.event_id,
            "quantity": line.quantity,
            "unit_price": line.price,
            "promoted": line.promoted,
        }
        for store, line in happened
    ]
    asked = [
        question(store, product, NOW - rng.choice((0, 1, 300_000, 3_600_000, DAY_MS)) * rng.randrange(9))
        for store in ("s-1", "s-2", "s-unseen")
        for product in ("p-0", "p-1", "p-2", "p-unseen")
        for _ in range(4)
    ]
    mixed = [*events, *asked]
    rng.shuffle(mixed)

    found = answers(mixed)

    assert len(found) == len(asked)
    for row in found:
        mine = [line for store, line in happened if (store, line.product) == (row["store_id"], row["product_id"])]
        expected = sales_rolling(mine, row["as_of_ms"], ZONE)
        names = [feature.name for feature in FEATURES]
        assert {name: row[name] for name in names} == {name: expected[name] for name in names}


def test_questions_without_any_event_are_answered_with_nothing_sold() -> None:
    (row,) = answers([question("s-1", "p-1", NOW)])

    assert (row["units_28d"], row["mean_price_28d"], row["last_price"], row["last_sale_ms"]) == (0, None, None, None)


def test_no_rows_give_no_rows() -> None:
    assert list(rolling.answer([], KEYS, FEATURES)) == []


def test_only_the_edges_that_a_view_needs_are_asked_for() -> None:
    assert rolling.edge_names(features_of(CATEGORY_ROLLING.name)) == ["1h", "24h", "28d", "7d", "today"]
